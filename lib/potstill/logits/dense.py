"""A teacher's whole distribution: logits that are there, or hidden states that give them.

A teacher that runs beside the student is `Live`: its logits exist for one chunk of tokens at a
time, as the student's do, and are never stored.

Dimensions: N tokens, E the teacher's width, V the teacher's vocabulary.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from potstill.errors import InputError


@dataclass(frozen=True)
class Dense:
    """Logits [N, V] of a teacher, in any floating dtype."""

    logits_NV: torch.Tensor

    def rows(self, chosen: slice) -> "Dense":
        """Return the logits of some of the tokens."""
        return Dense(self.logits_NV[chosen])

    def to(self, device: torch.device) -> "Dense":
        """Return the logits on a device."""
        return Dense(self.logits_NV.to(device))

    def logits(self, num_ids: int) -> torch.Tensor:
        """Return the logits [N, num_ids] of the first ids: those that the student has too.

        Raises:
            InputError: the teacher has fewer.
        """
        _check(self.logits_NV.shape[-1], num_ids)
        return self.logits_NV[:, :num_ids]


@dataclass(frozen=True)
class Live:
    """What gives a teacher's logits: its last hidden states and its head.

    Attributes:
        hidden_NE: hidden states at the positions whose next token is predicted.
        weight_VE: the head's weight; products are computed in its dtype.
        bias_V: the head's bias, if it has one.
    """

    hidden_NE: torch.Tensor
    weight_VE: torch.Tensor
    bias_V: torch.Tensor | None = None

    def rows(self, chosen: slice) -> "Live":
        """Return what gives the logits of some of the tokens."""
        return Live(self.hidden_NE[chosen], self.weight_VE, self.bias_V)

    def to(self, device: torch.device) -> "Live":
        """Return the same on a device."""
        bias_V = self.bias_V.to(device) if self.bias_V is not None else None
        return Live(self.hidden_NE.to(device), self.weight_VE.to(device), bias_V)

    @torch.no_grad()
    def logits(self, num_ids: int) -> torch.Tensor:
        """Compute the logits [N, num_ids] of the first ids: those that the student has too.

        Raises:
            InputError: the teacher has fewer.
        """
        _check(len(self.weight_VE), num_ids)
        bias_V = self.bias_V[:num_ids] if self.bias_V is not None else None
        weight_VE = self.weight_VE[:num_ids]
        return functional.linear(self.hidden_NE.to(weight_VE.dtype), weight_VE, bias_V)


@dataclass(frozen=True)
class Several:
    """What gives the logits of tokens that have different teachers.

    Attributes:
        parts: of each teacher.
        which_N: whose part a token's is, int64.
        place_N: where it is in that part, int64.
    """

    parts: tuple[Live, ...]
    which_N: torch.Tensor
    place_N: torch.Tensor

    def rows(self, chosen: slice) -> "Several":
        """Return what gives the logits of some of the tokens."""
        return Several(self.parts, self.which_N[chosen], self.place_N[chosen])

    def to(self, device: torch.device) -> "Several":
        """Return the same on a device."""
        places = (self.which_N.to(device), self.place_N.to(device))
        return Several(tuple(part.to(device) for part in self.parts), *places)

    @torch.no_grad()
    def logits(self, num_ids: int) -> torch.Tensor:
        """Compute the logits [N, num_ids] of the first ids, each token's by its own teacher.

        Raises:
            InputError: a teacher has fewer.
        """
        weight = self.parts[0].weight_VE
        found = weight.new_empty(len(self.which_N), num_ids)
        for number, part in enumerate(self.parts):
            mine = self.which_N == number
            if mine.any():
                own = Live(part.hidden_NE[self.place_N[mine]], part.weight_VE, part.bias_V)
                found[mine] = own.logits(num_ids).to(found.dtype)
        return found


def _check(teacher_ids: int, student_ids: int) -> None:
    """A larger teacher's head is padded, and cut; a larger student's has ids without a target."""
    if teacher_ids < student_ids:
        raise InputError(
            f"the student's head has {student_ids} ids, the teacher's {teacher_ids}: trim the "
            "student's vocabulary to the teacher's, or train on its top tokens (a logit store)"
        )

"""Losses on hidden states: some of the student's layers shall say what the teacher's say.

They act on the hidden states of the answer positions, beside an objective on the logits. Widths
that differ are bridged by one linear map a pair of layers, learned with the student or fixed.

Sources: Sun et al. 2019 (patient knowledge distillation), whose distance of normalised states is
twice the cosine loss here; Jiao et al. 2020 (TinyBERT) for the learned map.

Dimensions: N answer tokens, D the student's width, E the teacher's width, L pairs of layers.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from potstill.errors import InputError
from potstill.params import closest


def layer_map(num_student: int, num_teacher: int) -> list[tuple[int, int]]:
    """Return evenly spread pairs (the student's layer, the teacher's), the last with the last.

    Layers count from 1 as outputs do where 0 is the embedding: `hidden_states[n]` of transformers.

    Raises:
        InputError: a side has no layer, or the student more than the teacher.
    """
    if not 1 <= num_student <= num_teacher:
        raise InputError(
            f"a student of {num_student} layers cannot be spread over {num_teacher} of a teacher: "
            "state the pairs of layers"
        )
    return [(n, round(n * num_teacher / num_student)) for n in range(1, num_student + 1)]


class Projections(torch.nn.Module):
    """One linear map from the student's width to the teacher's for each pair of layers.

    Equal widths begin with the identity, others with orthonormal columns or rows, so that lengths
    are kept or shrink.
    """

    def __init__(
        self, num_pairs: int, student_width: int, teacher_width: int, *, learned: bool
    ) -> None:
        """Make the maps.

        Args:
            num_pairs: L.
            student_width: D.
            teacher_width: E.
            learned: whether they are trained with the student; they are no part of it and are
                thrown away after training.
        """
        super().__init__()
        self.maps = torch.nn.ModuleList(
            torch.nn.Linear(student_width, teacher_width, bias=False) for _ in range(num_pairs)
        )
        for parameter in self.parameters():
            if student_width == teacher_width:
                torch.nn.init.eye_(parameter)
            else:
                torch.nn.init.orthogonal_(parameter)
            parameter.requires_grad_(learned)

    def forward(self, pair: int, hidden_ND: torch.Tensor) -> torch.Tensor:
        """Return [N, E] of the student's states of one pair."""
        mapped: torch.Tensor = self.maps[pair](hidden_ND)
        return mapped


def cosine(student_NE: torch.Tensor, teacher_NE: torch.Tensor) -> torch.Tensor:
    """Return 1 - cosine of each token [N]: 0 to 2, whatever the lengths are."""
    return 1 - torch.nn.functional.cosine_similarity(student_NE, teacher_NE, dim=-1)


def relative_mse(student_NE: torch.Tensor, teacher_NE: torch.Tensor) -> torch.Tensor:
    """Return the squared distance of each token [N] over the teacher's squared length.

    0 where equal, 1 for a student that says nothing; layers whose states are long count no more
    than others.
    """
    squared_N = teacher_NE.square().sum(-1).clamp(min=torch.finfo(teacher_NE.dtype).tiny)
    return (student_NE - teacher_NE).square().sum(-1) / squared_N


DISTANCES: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cosine": cosine,
    "relative_mse": relative_mse,
}


def hidden_loss(
    student: Sequence[torch.Tensor],
    teacher: Sequence[torch.Tensor],
    *,
    distance: str,
    projections: Projections | None = None,
    weights_N: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the sum over tokens of the mean over pairs of layers, a scalar in float32 or wider.

    Args:
        student: [N, D] of each pair, at the answer positions.
        teacher: [N, E] of each pair, at the same positions; no gradient goes there.
        distance: one of DISTANCES.
        projections: bridge the widths; not needed where they are equal.
        weights_N: of each token; None weighs all as 1.

    Raises:
        InputError: an unknown distance, or shapes that do not belong together.
    """
    if distance not in DISTANCES:
        raise InputError(f"unknown distance {distance!r}; {closest(distance, DISTANCES)}")
    if len(student) != len(teacher) or not student:
        raise InputError(
            f"{len(student)} layers of the student stand against {len(teacher)} of the teacher: "
            "give pairs"
        )
    total = torch.zeros((), device=student[0].device)
    for pair, (mine_ND, target_NE) in enumerate(zip(student, teacher, strict=True)):
        mine_NE = projections(pair, mine_ND) if projections is not None else mine_ND
        if mine_NE.shape != target_NE.shape:
            raise InputError(
                f"pair {pair}: the student's states are {list(mine_NE.shape)}, the teacher's "
                f"{list(target_NE.shape)}: give projections between the widths"
            )
        distance_N = DISTANCES[distance](_exact(mine_NE), _exact(target_NE.detach()))
        total = total + (distance_N.sum() if weights_N is None else weights_N @ distance_N)
    return total / len(student)


def _exact(hidden_NE: torch.Tensor) -> torch.Tensor:
    return hidden_NE if hidden_NE.dtype == torch.float64 else hidden_NE.float()

"""Losses on hidden states: some of the student's layers shall say what the teacher's say.

The teacher runs beside the student: its states are stored nowhere.

They act on the hidden states of the answer positions, beside an objective on the logits. Widths
that differ are bridged by one linear map a pair of layers, learned with the student. The last
layer's states are those after the final norm, as transformers gives them.

Sources: Sun et al. 2019 (patient knowledge distillation), whose distance of normalised states is
twice the cosine loss here; Jiao et al. 2020 (TinyBERT) for the learned map.

Dimensions: N answer tokens, D the student's width, E the teacher's width, L pairs of layers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from potstill.distill.recipe import Hidden
from potstill.errors import InputError
from potstill.loading.load import CausalLM
from potstill.logits.live import LiveTeacher
from potstill.logits.source import Source
from potstill.models import checkpoint
from potstill.params import closest
from potstill.tokens.packing import Pack

MAPS = "hidden_maps"  # what projections are called in a model while it is trained


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
    are kept or shrink. They are trained with the student, are no part of it, and are thrown away.
    """

    def __init__(
        self, num_pairs: int, student_width: int, teacher_width: int, *, seed: int
    ) -> None:
        """Make the maps; `seed` is of what is drawn where the widths differ."""
        super().__init__()
        self.maps = torch.nn.ModuleList(
            torch.nn.Linear(student_width, teacher_width, bias=False) for _ in range(num_pairs)
        )
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            if student_width == teacher_width:
                torch.nn.init.eye_(parameter)
            else:
                torch.nn.init.orthogonal_(parameter, generator=generator)

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
        mine_NE = projections(pair, _exact(mine_ND)) if projections is not None else mine_ND
        if mine_NE.shape != target_NE.shape:
            raise InputError(
                f"pair {pair}: the student's states are {list(mine_NE.shape)}, the teacher's "
                f"{list(target_NE.shape)}: give projections between the widths"
            )
        distance_N = DISTANCES[distance](_exact(mine_NE), _exact(target_NE.detach()))
        weigh_N = torch.ones_like(distance_N) if weights_N is None else weights_N.to(distance_N)
        total = total + weigh_N @ distance_N
    return total / len(student)


def _exact(hidden_NE: torch.Tensor) -> torch.Tensor:
    return hidden_NE if hidden_NE.dtype == torch.float64 else hidden_NE.float()


@dataclass(frozen=True)
class Matching:
    """Which layers of a student follow which of its teacher's, and how far that counts.

    Attributes:
        teacher: runs beside the student.
        pairs: (the student's layer, the teacher's), counted from 1.
        weight: of the distance in the student's loss.
        distance: one of DISTANCES.
        projections: between the widths, if any.
    """

    teacher: LiveTeacher
    pairs: Sequence[tuple[int, int]]
    weight: float
    distance: str
    projections: Projections | None

    @property
    def teacher_layers(self) -> list[int]:
        """The teacher's layer of each pair."""
        return [theirs for _, theirs in self.pairs]

    def attach(self, model: CausalLM) -> None:
        """Put the projections into a model, so that they are trained, saved and resumed with it."""
        if self.projections is not None:
            model.add_module(MAPS, self.projections)

    def detach(self, model: CausalLM) -> None:
        """Take them out again: they are no part of the model."""
        if self.projections is not None:
            delattr(model, MAPS)

    def loss(
        self,
        states: Sequence[torch.Tensor],
        batch: Pack,
        targets: Sequence[torch.Tensor],
        weights_N: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the sum over answer tokens of the distance, without its weight.

        Args:
            states: all of the student's, [1, T, D] each, the embedding first.
            batch: whose answer tokens it is about.
            targets: [N, E] of the teacher's layer of each pair.
            weights_N: of each answer token; None weighs all as 1.
        """
        mine = [batch.predicting(states[n]) for n, _ in self.pairs]
        return hidden_loss(
            mine,
            targets,
            distance=self.distance,
            projections=self.projections,
            weights_N=weights_N,
        )


def match(how: Hidden, start: Path, teacher: Source, seed: int) -> Matching:
    """Return the matching of a student that begins as `start`.

    Raises:
        InputError: the teacher does not run, a layer that there is not, or widths that differ
            without a projection.
    """
    if not isinstance(teacher, LiveTeacher):
        raise InputError(
            f"hidden asks a teacher's layers, and {' and '.join(teacher.names)} stores "
            "distributions alone: take a signal of codec live, or leave hidden out"
        )
    mine, theirs = checkpoint.read_config(start), teacher.config
    counts = [config["num_hidden_layers"] for config in (mine, theirs)]
    widths = [config["hidden_size"] for config in (mine, theirs)]
    pairs = [(n, m) for n, m in how.pairs] if how.pairs else layer_map(*counts)
    for n, m in pairs:
        if n > counts[0] or m > counts[1]:
            raise InputError(
                f"hidden.pairs has [{n}, {m}]: the student {start} has {counts[0]} layers, its "
                f"teacher {counts[1]}"
            )
    if how.projection == "none" and widths[0] != widths[1]:
        raise InputError(
            f"hidden.projection is none, and the student's width is {widths[0]}, the teacher's "
            f"{widths[1]}: take auto or learned"
        )
    needed = how.projection == "learned" or widths[0] != widths[1]
    made = Projections(len(pairs), *widths, seed=seed).to(teacher.device) if needed else None
    return Matching(teacher, pairs, how.weight, how.distance, made)

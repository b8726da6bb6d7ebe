"""A training as it is about to begin, with a few of its rows and what its teacher says of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from potstill.distill.objectives.margin import correct, correct_top
from potstill.distill.objectives.tokens import Signal
from potstill.distill.phases import Part
from potstill.distill.recipe import Recipe
from potstill.distill.start import Start
from potstill.distill.training import Loss
from potstill.loading.head import map_logits
from potstill.loading.load import CausalLM
from potstill.logits.dense import Dense
from potstill.logits.sampled import Sampled
from potstill.logits.topk import TopK
from potstill.rollouts.recipe import OnPolicy
from potstill.tokens import examples, packing
from potstill.tokens.examples import Example

OFFSETS = (-1, 0, 1)
LEAST = 1e-4  # a label's probability by drawn ids that do not have it


@dataclass(frozen=True)
class Tokens:
    """Of the answer tokens of some rows, N in their order; all [N], float32 unless said.

    Attributes:
        rows: the number of each token's row, int64.
        student_nll: of the labels by the start, nats; by top tokens, of the outcomes that these
            tell apart.
        teacher_log_p: of the labels by the teacher; None without one.
        shifted_log_p: by how many tokens its word is moved -> mean log-probability of the labels.
        divergence: from the teacher, nats, by the objective; None without one.
        plain_kl: KL(teacher || start) of top tokens and their rest as they are stored, nats; None
            of other signals.
        kept_mass: of the teacher's distribution what is stored; None where that is all, or drawn.
        mass: of that with its tail.
    """

    rows: torch.Tensor
    student_nll: torch.Tensor
    teacher_log_p: torch.Tensor | None = None
    shifted_log_p: dict[int, float] | None = None
    divergence: torch.Tensor | None = None
    plain_kl: torch.Tensor | None = None
    kept_mass: torch.Tensor | None = None
    mass: torch.Tensor | None = None


@dataclass
class Patient:
    """What is looked at.

    Attributes:
        name: of the student.
        recipe: its settings.
        begin: what it begins as.
        model: as its training begins.
        loss: what it is taught by; None where that could not be made, and `complaint` says why.
        rows: a few of those that its steps read.
        heldout: a few validation rows.
        measured: split -> all rows that are measured.
        scratch: a folder.
        complaint: see `loss`.
        all_rows: all of the training's; none where they are yet to be answered.
        parts: its phases; of those none.
    """

    name: str
    recipe: Recipe | OnPolicy
    begin: Start
    model: CausalLM
    loss: Loss | None
    rows: Sequence[Example]
    heldout: Sequence[Example]
    measured: Mapping[str, Sequence[Example]]
    scratch: Path
    complaint: str = ""
    all_rows: Sequence[Example] = ()
    parts: Sequence[Part] = ()

    @property
    def is_taught(self) -> bool:
        """Whether a teacher's distributions are part of the loss."""
        return (
            self.loss is not None
            and self.loss.source is not None
            and self.loss.objective.alpha != 1
        )

    @property
    def rows_by_length(self) -> list[Example]:
        """The rows in the order in which `tokens` numbers them."""
        return [row for batch in examples.by_length(self.rows, 8) for row in batch]

    @cached_property
    def tokens(self) -> Tokens:
        """What start and teacher make of each answer token of the rows.

        Raises:
            InputError: the teacher's signal of a row is missing or damaged.
        """
        batches = list(examples.by_length(self.rows, 8))
        parts = [self._look(batch) for batch in batches]
        rows, first = [], 0
        for batch, part in zip(batches, parts, strict=True):
            rows.append(part.rows + first)
            first += len(batch)
        joined = {
            name: _joined([getattr(part, name) for part in parts])
            for name in (
                "student_nll",
                "teacher_log_p",
                "divergence",
                "plain_kl",
                "kept_mass",
                "mass",
            )
        }
        shifts = [part.shifted_log_p for part in parts if part.shifted_log_p]
        shifted = {o: sum(s[o] for s in shifts) / len(shifts) for o in OFFSETS} if shifts else None
        student = joined.pop("student_nll")
        assert student is not None, "a start says something of every token"
        return Tokens(torch.cat(rows), student, shifted_log_p=shifted, **joined)

    @torch.no_grad()
    def _look(self, batch: list[Example]) -> Tokens:
        assert self.loss is not None, self.complaint
        self.model.eval()
        line = packing.pack(batch, self.begin.place)
        labels_N = line.answers_N
        sizes = [row.num_answer_tokens for row in batch]
        rows_N = torch.arange(len(batch)).repeat_interleave(torch.tensor(sizes))
        signal = self.loss.source.signal_of(batch) if self.loss.source else None
        signal = signal.to(self.begin.place) if signal is not None else None
        told = self._corrected(signal, labels_N)
        with torch.autocast(self.begin.place.type, torch.bfloat16, enabled=self._is_half):
            hidden_ND = line.predicting(self.model.model(**line.inputs).last_hidden_state)

            def terms(logits_CV: torch.Tensor, part: slice) -> torch.Tensor:
                own = signal.rows(part) if signal is not None else None
                assert self.loss is not None
                logits_CV = logits_CV.float()
                found = self.loss.objective.terms(logits_CV, labels_N[part], own)
                each = [found.cross_entropy_B, found.divergence_B]
                if isinstance(own, TopK):
                    assert isinstance(told, TopK)
                    log_q_CV = torch.log_softmax(logits_CV, -1)
                    shown = _of_start(log_q_CV, told.rows(part))
                    each[0] = -_log_p(shown, labels_N[part], log_q_CV.shape[-1])
                    each.append(_plain_kl(own, _of_start(log_q_CV, own)))
                return torch.stack(each).cpu()

            ce_N, div_N, *kl = torch.cat(map_logits(terms, hidden_ND, self.model.lm_head), -1)
        if signal is None:
            return Tokens(rows_N, ce_N)
        num_ids = self.model.lm_head.out_features
        moved = {o: _moved(signal, labels_N, rows_N, o, num_ids) for o in OFFSETS}
        # at its own place the signal as the loss corrects it: what is followed is judged
        own_N = _moved(told, labels_N, rows_N, 0, num_ids)
        kept = mass = None
        if isinstance(signal, TopK):
            kept = signal.log_probs_NK.exp().sum(-1).cpu()
            mass = kept + signal.log_tail_N.exp().cpu()
        return Tokens(
            rows_N,
            ce_N,
            own_N,
            {o: value.mean().item() for o, value in moved.items()},
            div_N,
            kl[0] if kl else None,
            kept,
            mass,
        )

    def _corrected(self, signal: Signal | None, labels_N: torch.Tensor) -> Any:  # noqa: ANN401
        """Return a signal with the objective's margin, where it has one."""
        assert self.loss is not None
        margin = self.loss.objective.margin
        if margin is None or signal is None:
            return signal
        if isinstance(signal, TopK):
            return correct_top(signal, labels_N, margin)
        assert not isinstance(signal, Sampled), "drawn ids and a margin do not go together"
        log_p_NV = torch.log_softmax(signal.logits(self.model.lm_head.out_features).float(), -1)
        return Dense(correct(log_p_NV, labels_N, margin))

    @property
    def _is_half(self) -> bool:
        return self.begin.dtype == torch.bfloat16


def _moved(
    signal: Signal, labels_N: torch.Tensor, rows_N: torch.Tensor, offset: int, num_ids: int
) -> torch.Tensor:
    """Return what the signal of each token says of the label `offset` tokens on in its row."""
    places = torch.arange(len(labels_N))
    places = places[(places + offset >= 0) & (places + offset < len(labels_N))]
    places = places[rows_N[places] == rows_N[places + offset]]
    found = []
    for part in places.split(256):
        # the borders of the parts do not matter, and tensors choose tokens as slices do
        own = signal.rows(part)
        found.append(_log_p(own, labels_N[part + offset], num_ids).cpu())
    return torch.cat(found) if found else torch.empty(0)


def _log_p(signal: Signal, labels_N: torch.Tensor, num_ids: int) -> torch.Tensor:
    """Return the log-probability of each label by the teacher.

    A label that is none of the stored top tokens has an even part of what all others have, one that
    was not drawn LEAST.
    """
    if isinstance(signal, TopK):
        is_label = signal.ids_NK == labels_N[:, None]
        top_N = torch.where(is_label, signal.log_probs_NK, 0.0).sum(-1)
        others = max(1, num_ids - signal.ids_NK.shape[-1])
        return torch.where(is_label.any(-1), top_N, signal.log_tail_N - math.log(others))
    if isinstance(signal, Sampled):
        drawn = signal.ids_NS == labels_N[:, None]
        return torch.where(drawn, signal.weights_NS, 0.0).sum(-1).clamp(min=LEAST).log()
    logits_NV = signal.logits(num_ids).float()
    return torch.log_softmax(logits_NV, -1).gather(1, labels_N[:, None]).squeeze(1)


def _of_start(log_q_NV: torch.Tensor, teacher: TopK) -> TopK:
    """Return the start's distribution over the outcomes that a store of top tokens tells apart."""
    log_q_NK = log_q_NV.gather(1, teacher.ids_NK)
    rest_N = (1 - log_q_NK.double().exp().sum(-1)).clamp(min=torch.finfo(torch.float64).tiny)
    return TopK(teacher.ids_NK, log_q_NK, rest_N.log().float())


def _plain_kl(p: TopK, q: TopK) -> torch.Tensor:
    """Return KL(p || q) of the outcomes as they are: below 0 where p adds up to less than 1."""
    log_p, log_q = (torch.cat([s.log_probs_NK, s.log_tail_N[:, None]], -1).double() for s in (p, q))
    return (log_p.exp() * (log_p - log_q)).sum(-1).float()


def _joined(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else None

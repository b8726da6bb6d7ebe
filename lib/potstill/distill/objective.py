"""The distillation loss: cross-entropy on labels mixed with a divergence from the teacher.

    loss = alpha * CE(labels) + (1 - alpha) * T^2 * D(teacher_T, student_T)

D is one of `distill.objectives`, over the outcomes that the teacher's signal has: all tokens, or
its most probable ones with one outcome for all others. Without the latter the truncated
distributions would be renormalised, the student pulled towards over-confidence, and below k of
about 50 that is worse than no distillation.

Sources: Hinton et al. 2015, section 2 (temperature and T^2); DistillKit's "missing probability"
bucket; Anshumann et al. 2025 (Sparse Logit Sampling) for the harm of renormalising.

Dimensions: N answer tokens, D width, V vocabulary.
"""

from dataclasses import dataclass

import torch

from potstill.distill.head import fused
from potstill.distill.objectives import OBJECTIVES
from potstill.distill.objectives.tokens import Divergent, Signal, TokenLosses, token_losses
from potstill.errors import InputError
from potstill.loading.head import CHUNK_TOKENS
from potstill.logits.sampled import Sampled
from potstill.logits.topk import TopK


@dataclass(frozen=True)
class LossSums:
    """Sums over tokens, float32: divide by the number of tokens of the whole (accumulated) batch.

    Only the loss can be differentiated, and once. `hidden` is the distance of hidden states where
    the loss has one; see `distill.hidden`. `staleness` is, of answers that the student gave, how
    much more probable their tokens were when it gave them, in nats.
    """

    loss: torch.Tensor
    cross_entropy: torch.Tensor
    divergence: torch.Tensor
    hidden: torch.Tensor | None = None
    staleness: torch.Tensor | None = None

    def columns(self) -> dict[str, torch.Tensor]:
        """Return the sums by the names that a history has."""
        found = {"loss": self.loss, "ce": self.cross_entropy, "divergence": self.divergence}
        more = {"hidden": self.hidden, "staleness": self.staleness}
        return found | {name: total for name, total in more.items() if total is not None}


@dataclass(frozen=True)
class Spoken:
    """What is known of tokens that the student itself gave, N of them, float32.

    Attributes:
        log_probs_N: natural, when it gave them; NaN where nobody knows.
        rewards_N: what the cross-entropy of each weighs besides: positive draws the student to it.
    """

    log_probs_N: torch.Tensor
    rewards_N: torch.Tensor

    def rows(self, chosen: slice) -> "Spoken":
        """Return what is known of some of the tokens."""
        return Spoken(self.log_probs_N[chosen], self.rewards_N[chosen])


@dataclass(frozen=True)
class Objective:
    """What a student minimises.

    Attributes:
        name: one of OBJECTIVES.
        alpha: weight of the cross-entropy, 0 to 1; without a teacher it counts as 1.
        temperature: T of the divergence, on both sides.
        beta: weight of the teacher in the mixture of `jensen_shannon`, between 0 and 1.
        margin: probability by which the label leads in the teacher's distribution, which is
            corrected where it does not (see `objectives.margin`); None takes the teacher as it is.
        chunk_tokens: tokens whose logits exist at a time; changes memory and speed, not the value.

    Raises:
        InputError: an unknown name, or a setting out of its range.
    """

    name: str = "forward_kl"
    alpha: float = 1.0
    temperature: float = 1.0
    beta: float = 0.5
    margin: float | None = None
    chunk_tokens: int = CHUNK_TOKENS

    def __post_init__(self) -> None:
        asks_teacher = bool(OBJECTIVES[self.name].SIGNALS)
        wrong = {
            "alpha is a weight: 0 to 1": not 0 <= self.alpha <= 1,
            f"{self.name} asks no teacher: set alpha to 1": not asks_teacher and self.alpha != 1,
            "temperature must be above 0": not self.temperature > 0,
            "beta lies between 0 and 1; take forward_kl or reverse_kl for the ends": not (
                0 < self.beta < 1
            ),
            "margin is a probability: 0 to below 1, or none": (
                self.margin is not None and not 0 <= self.margin < 1
            ),
            "chunk_tokens must be at least 1": self.chunk_tokens < 1,
        }
        for reason, holds in wrong.items():
            if holds:
                raise InputError(f"objective: {reason}; got {self}")

    def check(self, signal: type[Signal]) -> None:
        """Refuse a kind of teacher signal that this objective cannot be computed from.

        Raises:
            InputError: says what to change.
        """
        kinds = OBJECTIVES[self.name].SIGNALS
        if not kinds:
            raise InputError(f"objective {self.name} asks no teacher, and got {signal.__name__}")
        if signal is not Sampled:
            return
        if "samples" not in kinds:
            able = [name for name, module in OBJECTIVES.items() if "samples" in module.SIGNALS]
            raise InputError(
                f"objective {self.name} needs the teacher's top tokens or all its logits, the "
                f"store holds drawn ones: take {' or '.join(able)}, or cache top tokens"
            )
        if self.temperature != 1:
            raise InputError(
                f"temperature is {self.temperature}, and tokens drawn from a teacher stand for its "
                "distribution at 1 only: set temperature to 1, or cache top tokens"
            )
        if self.margin is not None:
            raise InputError(
                "a margin needs the teacher's probability of the label, which drawn tokens do not "
                "tell: leave margin out, or cache top tokens"
            )

    def __call__(
        self,
        hidden_ND: torch.Tensor,
        head: torch.nn.Linear,
        labels_N: torch.Tensor,
        signal: Signal | None = None,
        weights_N: torch.Tensor | None = None,
        spoken: Spoken | None = None,
    ) -> LossSums:
        """Return the loss over answer tokens without ever holding all their logits.

        Args:
            hidden_ND: the student's last hidden states at the positions that predict `labels_N`.
            head: maps hidden states to logits.
            labels_N: int64; prompts and padding are left out before, so every row counts.
            signal: the teacher's distributions of the same N positions; None trains on labels.
            weights_N: float32, of each token in all three sums; None weighs all as 1.
            spoken: of tokens that the student gave.

        Raises:
            InputError: see `check`, or the teacher's ids are not the student's.
        """
        self._check_ids(signal, head.out_features)

        def block(logits_BV: torch.Tensor, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
            rows = signal.rows(part) if signal is not None else None
            weights = weights_N[part] if weights_N is not None else None
            own = spoken.rows(part) if spoken is not None else None
            return self._block(logits_BV, labels_N[part], rows, weights, own)

        num_sums = 3 if spoken is None else 4
        found = fused(hidden_ND, head, block, num_sums=num_sums, chunk_tokens=self.chunk_tokens)
        sums = [total if total.dtype == torch.float64 else total.float() for total in found]
        return LossSums(sums[0], sums[1], sums[2], staleness=sums[3] if spoken else None)

    def terms(
        self,
        logits_NV: torch.Tensor,
        labels_N: torch.Tensor,
        signal: Signal | None,
        weights_N: torch.Tensor | None = None,
        spoken: Spoken | None = None,
    ) -> TokenLosses:
        """Return cross-entropy and divergence of each token, and the loss's slope at its logits.

        The divergence is without T^2; the slope is of the weighted sum that `__call__` returns.
        """
        self._check_ids(signal, logits_NV.shape[-1])
        return self._terms(logits_NV, labels_N, signal, weights_N, spoken)

    def _terms(
        self,
        logits_NV: torch.Tensor,
        labels_N: torch.Tensor,
        signal: Signal | None,
        weights_N: torch.Tensor | None,
        spoken: Spoken | None,
    ) -> TokenLosses:
        hard, soft = self._shares(signal)
        if weights_N is None:
            weights_N = torch.ones_like(labels_N, dtype=torch.float32)
        weights_N1 = weights_N[:, None]
        how = Divergent(self.name, self.temperature, self.beta, self.margin)
        hard_N1 = hard * weights_N1
        if spoken is not None:
            hard_N1 = hard_N1 + spoken.rewards_N[:, None]
        return token_losses(logits_NV, labels_N, signal, how, hard_N1, soft * weights_N1)

    def _shares(self, signal: Signal | None) -> tuple[float, float]:
        if signal is None:
            return 1.0, 0.0
        return self.alpha, (1 - self.alpha) * self.temperature**2

    def _block(
        self,
        logits_BV: torch.Tensor,
        labels_B: torch.Tensor,
        signal: Signal | None,
        weights_B: torch.Tensor | None,
        spoken: Spoken | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found = self._terms(logits_BV, labels_B, signal, weights_B, spoken)
        terms_2B = torch.stack([found.cross_entropy_B, found.divergence_B])
        sums_2 = terms_2B.sum(-1) if weights_B is None else terms_2B @ weights_B.to(terms_2B.dtype)
        hard, soft = self._shares(signal)
        loss = hard * sums_2[0] + soft * sums_2[1]
        sums = [loss[None], sums_2]
        if spoken is not None:
            sums[0] = sums[0] + found.cross_entropy_B @ spoken.rewards_N.to(sums_2.dtype)
            sums.append((spoken.log_probs_N + found.cross_entropy_B).nansum()[None])
        return torch.cat(sums), found.slope_BV

    def _check_ids(self, signal: Signal | None, num_ids: int) -> None:
        if signal is None:
            return
        self.check(type(signal))
        if isinstance(signal, TopK | Sampled):
            ids = signal.ids_NK if isinstance(signal, TopK) else signal.ids_NS
            largest = int(ids.max()) if ids.numel() else 0
            if largest >= num_ids:
                raise InputError(
                    f"the teacher's ids reach {largest}, the student's head has {num_ids}: cut the "
                    "teacher's logits to the student's ids before they are cached"
                )

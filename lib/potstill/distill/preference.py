"""Direct preference optimisation: of two answers to a prompt the chosen one becomes likelier.

    loss = -log sigmoid(beta ((log c - log c_ref) - (log r - log r_ref)))

A log-likelihood is the sum over an answer's tokens, of the model and of the frozen reference that
it started from, which is asked once, before the first step. The verdict is the executor's: the
chosen answer passed its tests, the rejected one failed them.

Source: Rafailov et al. 2023, eq. 7.

Dimensions: P pairs, N tokens of all answers, A answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch.nn import functional

from potstill import files
from potstill.errors import InputError
from potstill.loading.head import token_nlls
from potstill.loading.load import CausalLM
from potstill.tokens import examples, packing
from potstill.tokens.examples import Example

BATCH = 8  # answers that the reference reads at a time


@dataclass(frozen=True)
class PreferenceSums:
    """Sums over pairs: divide by their number. Only the loss can be differentiated.

    Attributes:
        loss: in nats; log 2 a pair where the model is the reference.
        margin: reward of the chosen answer less that of the rejected, beta times log-ratios.
        correct: pairs whose margin is above 0.
        cross_entropy: of the chosen answers, nats a token, where it was asked for.
    """

    loss: torch.Tensor
    margin: torch.Tensor
    correct: torch.Tensor
    cross_entropy: torch.Tensor | None = None

    def columns(self) -> dict[str, torch.Tensor]:
        """Return the sums by the names that a history has."""
        found = {"loss": self.loss, "margin": self.margin, "correct": self.correct}
        return found if self.cross_entropy is None else found | {"ce": self.cross_entropy}


def preference_loss(
    chosen_P: torch.Tensor,
    rejected_P: torch.Tensor,
    reference_chosen_P: torch.Tensor,
    reference_rejected_P: torch.Tensor,
    *,
    beta: float,
) -> PreferenceSums:
    """Return the loss of pairs of log-likelihoods in nats.

    Args:
        chosen_P: the model's, of the answers that are preferred.
        rejected_P: the model's, of the others.
        reference_chosen_P: the reference's; no gradient goes there.
        reference_rejected_P: the reference's.
        beta: how strongly the reference holds the model, above 0; 0.1 is usual.

    Raises:
        InputError: beta is not above 0, or the numbers of pairs differ.
    """
    if not beta > 0:
        raise InputError(f"beta of preferences is {beta}: it must be above 0")
    shapes = {tuple(x.shape) for x in (chosen_P, rejected_P, reference_chosen_P)}
    if len(shapes | {tuple(reference_rejected_P.shape)}) != 1:
        raise InputError(
            f"chosen {list(chosen_P.shape)}, rejected {list(rejected_P.shape)} and reference "
            f"{list(reference_chosen_P.shape)}, {list(reference_rejected_P.shape)} are not of the "
            "same pairs"
        )
    reference_P = (reference_chosen_P - reference_rejected_P).detach()
    margin_P = beta * (chosen_P - rejected_P - reference_P)
    return PreferenceSums(
        -functional.logsigmoid(margin_P).sum(),
        margin_P.detach().sum(),
        (margin_P > 0).sum(),
    )


def answer_log_likelihoods(nlls_N: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Return the log-likelihood [A] of each answer from those of their tokens, one after another.

    Args:
        nlls_N: negative log-likelihoods of the tokens of all answers.
        sizes: number of tokens of each answer; their sum is N.
    """
    parts = nlls_N.split(sizes)
    return -torch.stack([part.sum() for part in parts]) if parts else nlls_N.new_zeros(0)


def log_likelihoods(
    model: CausalLM, rows: Sequence[Example], dtype: torch.dtype, chunk_tokens: int
) -> torch.Tensor:
    """Return the log-likelihood [A] in nats of each row's answer, in their order."""
    device = next(model.parameters()).device
    line = packing.pack(rows, device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        hidden_ND = line.predicting(model.model(**line.inputs).last_hidden_state)
        nlls_N = token_nlls(hidden_ND, model.lm_head, line.answers_N, chunk_tokens=chunk_tokens)
    return answer_log_likelihoods(nlls_N, [row.num_answer_tokens for row in rows])


@dataclass(frozen=True)
class Preference:
    """The loss over rejected answers, each against the one that is chosen over it.

    Attributes:
        beta: see `preference_loss`.
        chunk_tokens: tokens whose logits exist at a time.
        chosen: ids of a prompt -> the answer that is chosen.
        reference: key of an answer -> its log-likelihood under the reference.
    """

    beta: float
    chunk_tokens: int
    chosen: Mapping[tuple[int, ...], Example] = field(default_factory=dict)
    reference: Mapping[str, float] = field(default_factory=dict)

    def of(self, rows: Sequence[Example]) -> "tuple[Preference, list[Example]]":
        """Take the pairs of a table of chosen and rejected rows; return its rejected ones too.

        A rejected answer whose chosen one is not there, as it was too long, is left out.

        Raises:
            InputError: there are no pairs.
        """
        chosen = {_prompt(row): row for row in examples.having(rows, {"format": ["chosen"]})}
        others = examples.having(rows, {"format": ["rejected"]})
        rejected = [row for row in others if _prompt(row) in chosen]
        if not rejected:
            raise InputError("no pair is left: raise tokenise.max_length, or name other folds")
        return replace(self, chosen=chosen), rejected

    def both(self, rows: Sequence[Example]) -> list[Example]:
        """Return all rejected answers, then what is chosen over each."""
        return [*rows, *(self.chosen[_prompt(row)] for row in rows)]

    def ask(
        self, model: CausalLM, rows: Sequence[Example], dtype: torch.dtype, scratch: Path
    ) -> dict[str, float]:
        """Return what the model, as it is now, says of the answers; a killed run asks no more.

        Args:
            model: at the student's start.
            rows: rejected ones.
            dtype: of products, as in training, so that both round alike.
            scratch: folder in which what it says is kept.

        Returns:
            Key of each answer -> its log-likelihood: the `reference` of a preference.
        """
        path = scratch / "reference.json"
        if not path.exists():
            model.eval()
            answers = {row.key: row for row in self.both(rows)}
            found: dict[str, float] = {}
            for batch in examples.by_length(list(answers.values()), BATCH):
                with torch.no_grad():
                    sums = log_likelihoods(model, batch, dtype, self.chunk_tokens).tolist()
                found |= dict(zip((row.key for row in batch), sums, strict=True))
            files.write_json(path, found)
        said: dict[str, float] = files.read_json(path)
        return said

    def sums(self, model: CausalLM, rows: Sequence[Example], dtype: torch.dtype) -> PreferenceSums:
        """Return the loss sums over the pairs of some rejected rows."""
        both = self.both(rows)
        model_A = log_likelihoods(model, both, dtype, self.chunk_tokens)
        reference_A = model_A.new_tensor([self.reference[row.key] for row in both])
        (rejected_P, chosen_P), (of_rejected_P, of_chosen_P) = (
            values_A.split(len(rows)) for values_A in (model_A, reference_A)
        )
        found = preference_loss(chosen_P, rejected_P, of_chosen_P, of_rejected_P, beta=self.beta)
        sizes_P = chosen_P.new_tensor([row.num_answer_tokens for row in both[len(rows) :]])
        return replace(found, cross_entropy=(-chosen_P.detach() / sizes_P).sum())


def _prompt(row: Example) -> tuple[int, ...]:
    """Return the ids that a row's answer follows."""
    return row.ids[: row.spans[0][0]]

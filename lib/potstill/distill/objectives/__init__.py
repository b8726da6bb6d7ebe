"""What a student is made to share with its teacher: one module a divergence behind one registry.

A divergence compares two distributions over the same outcomes, so that it says nothing of where
they come from: of a whole vocabulary, or of a teacher's top tokens with the rest as one.
Reading the names needs no torch.

Dimensions: N tokens, O outcomes.
"""

from typing import TYPE_CHECKING, Protocol

from potstill.registry import Registry

if TYPE_CHECKING:
    import torch


class Divergence(Protocol):
    """A module of the registry."""

    # What it can be computed from: "outcomes" (distributions over all that can happen), "samples"
    # (only the outcomes that were drawn: it then must be linear in the teacher's probabilities);
    # nothing for an objective that asks no teacher.
    SIGNALS: tuple[str, ...]

    def divergence(
        self, log_p_NO: "torch.Tensor", log_q_NO: "torch.Tensor", beta: float
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Compare the student's distribution q with the teacher's p.

        Args:
            log_p_NO: the teacher's log-probabilities, finite.
            log_q_NO: the student's, finite.
            beta: the objective's own setting, where it has one.

        Returns:
            The divergence of each token [N] in nats, and its partial derivatives [N, O] with
            respect to log_q_NO, of which each entry counts as free (the caller goes on through
            the normalisation).
        """
        ...


OBJECTIVES: Registry[Divergence] = Registry(
    "objective",
    {
        name: f"potstill.distill.objectives.{name}"
        for name in ("cross_entropy", "forward_kl", "reverse_kl", "jensen_shannon")
    },
)

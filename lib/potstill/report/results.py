"""What the report is about, as typed values; None stands for what was not measured.

The report knows tasks and measures by the names that the scores bear, and no others.
"""

from dataclasses import dataclass, field
from typing import Any

PERPLEXITY = "perplexity"
# Measures that two artefacts can be compared in, problem by problem: what a row must say for it.
PAIRED = {
    "pass_at_1": ("passed",),
    "pass_at_1_lenient": ("lenient_passed",),
    "inside_subset": ("inside_subset",),
    "pass_at_1_and_inside": ("passed", "inside_subset"),
    "malformed": ("malformed",),
    "hit_limit": ("hit_limit",),
    "well_formed": ("passed",),
    "well_formed_lenient": ("lenient_passed",),
    "solved": ("passed",),
    "escalated": ("escalated",),
}
LESS_IS_BETTER = {PERPLEXITY, "malformed", "hit_limit", "escalated"}


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and what it was counted over.

    Attributes:
        unit: of a measure of the scores that is no share of one; else empty.
    """

    value: float
    low: float
    high: float
    n: int
    unit: str = ""


@dataclass(frozen=True)
class History:
    """Pairs of step and loss in nats a token; both lists are empty without training."""

    losses: list[tuple[float, float]]  # cross-entropy of the labels on training rows
    validation: list[tuple[float, float]]
    answers: "list[Answers]" = field(default_factory=list)  # of a student taught on its own


@dataclass(frozen=True)
class Answers:
    """What a student answered in one step of its training, and what came of it."""

    step: float
    kl_nats: float  # the divergence from the teacher, a token
    staleness_nats: float  # KL(weights that answered || weights that were trained), a token
    passed: float  # shares of the answers
    inside: float


@dataclass(frozen=True)
class Likelihood:
    """What a model makes of one test answer of `tokens` tokens."""

    id: str
    group: str
    nll_nats: float
    tokens: int


@dataclass(frozen=True)
class Run:
    """A student or a control as it was trained from one seed, measured as a checkpoint."""

    name: str
    start: str
    signals: list[str]  # of its teachers; none for labels alone
    steps: int
    seed: int
    budget_bytes: float | None  # of the file that its start was cut to fit
    num_tokens: int
    perplexity: Estimate  # on test
    validation_nats: float  # a token
    history: History
    test_rows: list[Likelihood]  # for paired comparison


@dataclass(frozen=True)
class Teacher:
    """The adapted teacher, measured as a checkpoint."""

    perplexity: Estimate | None  # on test
    validation_nats: float
    test_rows: list[Likelihood]


@dataclass(frozen=True)
class Parity:
    """Whether an artefact says what its checkpoint says."""

    verdict: str  # pass | fail | not-run
    reason: str
    top1_agreement: Estimate | None


@dataclass(frozen=True)
class Latency:
    """Cost of running an artefact, medians over `n` runs."""

    load_ms: float
    first_token_ms_p50: float
    first_token_ms_p95: float
    tokens_per_s: float
    peak_rss_mb: float
    n: int
    cpu: str


@dataclass(frozen=True)
class Score:
    """What an artefact made of one task; a task that was not run has no measures.

    Attributes:
        reason: why it was not run; empty where it was.
        measure: the main one, that artefacts are compared in; empty where nothing was tried.
        measures: pass_at_1, inside_subset, pass_at_1[level=2], ... as the metrics name them.
        rows: one an answer, for paired differences.
    """

    task: str
    reason: str
    measure: str
    measures: dict[str, Estimate]
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Variant:
    """One exported artefact, measured through its own runtime."""

    name: str
    checkpoint: str  # folder below models/
    format: str
    quantisation: str
    size_bytes: int
    sha256: dict[str, str]  # file -> hash
    parity: Parity
    scores: dict[str, Score]
    latency: Latency | None

    @property
    def owner(self) -> str:
        """The name of the training run: the last part of the checkpoint's path."""
        return self.checkpoint.rsplit("/", 1)[-1]

    def rate(self, task: str, measure: str) -> Estimate | None:
        """Return a measure of a task; None where it was not run."""
        return self.scores[task].measures.get(measure) if task in self.scores else None

    def why_not(self, task: str) -> str:
        """Return why a task was not run; empty where it was."""
        return self.scores[task].reason if task in self.scores else "it was not tried"


@dataclass(frozen=True)
class Curated:
    """What curation let through."""

    num_in: int
    num_kept: int
    rejected: dict[str, int]  # reason -> rows


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    runs: dict[str, Run]  # name of a checkpoint below models/students
    variants: dict[str, Variant]
    teacher: Teacher
    curated: Curated
    lineage: list[tuple[str, str]]  # what it is, what it was
    certificate: dict[str, Any]  # what the training rows were compared with: potstill.card

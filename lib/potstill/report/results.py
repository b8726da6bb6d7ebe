"""What the report is about, as typed values; None stands for what was not measured."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and what it was counted over."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class History:
    """Pairs of step and loss in nats a token; both lists are empty without training."""

    losses: list[tuple[float, float]]  # cross-entropy of the labels on training rows
    validation: list[tuple[float, float]]


@dataclass(frozen=True)
class Likelihood:
    """What a model makes of one test answer of `tokens` tokens."""

    id: str
    group: str
    nll_nats: float
    tokens: int


@dataclass(frozen=True)
class Student:
    """A trained student or a control, measured as a checkpoint."""

    name: str
    start: str
    steps: int
    num_tokens: int
    perplexity: Estimate  # on test
    validation_nats: float  # a token
    history: History
    test_rows: list[Likelihood]  # for paired comparison


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
class Variant:
    """One exported artefact, measured through its own runtime."""

    name: str
    checkpoint: str
    format: str
    quantisation: str
    size_bytes: int
    sha256: dict[str, str]  # file -> hash
    parity: Parity
    katas: Estimate | None
    humaneval: Estimate | None
    inside_subset: Estimate | None
    latency: Latency | None
    rows: list[dict[str, Any]]  # one a problem, for paired differences

    @property
    def owner(self) -> str:
        """The teacher's or student's name: the last part of the checkpoint's path."""
        return self.checkpoint.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Curated:
    """What curation let through."""

    num_in: int
    num_kept: int
    rejected: dict[str, int]  # reason -> rows


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    students: dict[str, Student]
    variants: dict[str, Variant]
    teacher_perplexity: Estimate | None  # on test
    teacher_validation_nats: float
    teacher_test_rows: list[Likelihood]
    curated: Curated
    lineage: list[tuple[str, str]]  # what it is, what it was

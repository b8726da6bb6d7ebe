"""The outcome in words: what the intervals and the seeds allow to say, and no more."""

from collections import Counter
from collections.abc import Iterator

from potstill.report import text
from potstill.report.claims import Claim
from potstill.report.comparison import TEACHER, View
from potstill.report.gates import Verdict, passing
from potstill.report.results import PERPLEXITY

BEATS = {"better": "beats", "worse": "is beaten by"}


def headline(view: View, verdicts: list[Verdict]) -> str:
    """Return the result in one sentence: the primary endpoint's, and the gates'."""
    counts = Counter(verdict.state for verdict in verdicts)
    claim = view.claims[0]
    on = f"{claim.task} {text.measure(claim.measure)}"
    if claim.word == "not established":
        said = f"that {claim.first} beats {claim.second} on {on} is not established"
        said = f"{said} ({claim.why_not})"
    else:
        said = f"{claim.first} {BEATS[claim.word]} {claim.second} on {on}"
    gates = f"{counts['pass']} of {counts['pass'] + counts['fail']} gates that could be judged pass"
    return f"{said[0].upper() if said.startswith('that') else said[0]}{said[1:]}; {gates}"


def sentences(view: View, verdicts: list[Verdict]) -> list[str]:
    """Return what a reader should know before the tables."""
    others = [c for c in view.claims[1:] if c.first == view.settings.student]
    return [
        f"Primary endpoint: {_difference(view.claims[0])}",
        _perplexity(view),
        *(_difference(claim) for claim in others if claim.task != PERPLEXITY),
        *_not_run(view),
        _exports(view, verdicts),
        _gates(verdicts),
    ]


def _difference(claim: Claim) -> str:
    other = "the teacher" if claim.second == TEACHER else claim.second
    on = f"{claim.task} {text.measure(claim.measure)}, {claim.first} against {other}"
    estimate = claim.found.estimate
    if estimate is None:
        return f"{on}: not run ({claim.found.reason})."
    return f"{on}: {text.sentence(estimate)}: {words(claim)}."


def words(claim: Claim) -> str:
    """Return what a comparison establishes, or why it establishes nothing."""
    return claim.word + (f", {claim.why_not}" if claim.why_not else "")


def _perplexity(view: View) -> str:
    """The student's perplexity as a share of each other's."""
    mine, parts, said = view.perplexity(view.settings.student), [], []
    assert mine is not None  # a student without test rows is an error
    for name in [*view.settings.controls, TEACHER]:
        claim, other = view.claim(PERPLEXITY, name), view.perplexity(name)
        if other is None:
            continue
        ratio = claim.found.estimate
        shown = text.plain(ratio, 3) if ratio else "not to be compared with that"
        parts.append(f"{shown} of {'the ' * (name == TEACHER)}{name}'s {other.value:.2f}")
        said.append(words(claim))
    if len(set(said)) > 1:
        parts = [f"{part} ({word})" for part, word in zip(parts, said, strict=True)]
    else:
        parts[-1] += f": {said[0]}"
    return (
        f"Test perplexity over {text.whole(mine.n)} rows: {view.settings.student} "
        f"{mine.value:.2f}, which is {'; '.join(parts)}."
    )


def _not_run(view: View) -> Iterator[str]:
    """Tasks that were asked for and gave no rates, once for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for item in view.variants:
        for task, score in item.scores.items():
            if score.reason:
                reasons.setdefault((task, score.reason), []).append(item.name)
    for (task, reason), names in reasons.items():
        yield f"{task} was not run for {', '.join(names)}: {reason}."


def _exports(view: View, verdicts: list[Verdict]) -> str:
    good = passing(view, verdicts)
    if not good:
        return f"No export of {view.settings.student} passes all gates about it."
    smallest = good[-1]
    return (
        f"Smallest export of {view.settings.student} that passes all gates about it: "
        f"{smallest.name}, {text.megabytes(smallest.size_bytes)}."
    )


def _gates(verdicts: list[Verdict]) -> str:
    counts = Counter(verdict.state for verdict in verdicts)
    return f"Gates: {counts['pass']} pass, {counts['fail']} fail, {counts['not-run']} not run."

"""The outcome in words: what the intervals allow to say, and no more."""

from collections import Counter

from potstill.report import text
from potstill.report.comparison import View
from potstill.report.differences import Difference
from potstill.report.gates import Verdict, passing
from potstill.report.results import Estimate


def headline(view: View, verdicts: list[Verdict]) -> str:
    """Return the result in one sentence."""
    counts = Counter(verdict.state for verdict in verdicts)
    beaten = [name for name in view.settings.controls if _beaten(view.perplexity_over[name])]
    lost = [name for name in view.settings.controls if name not in beaten]
    against = f"beats {_list(beaten)}" if beaten else "beats no control"
    if not view.settings.controls:
        against = "was compared with no control"
    against += f", but not {_list(lost)}," if beaten and lost else ""
    return (
        f"{view.settings.student} {against} on test perplexity; "
        f"{counts['pass']} of {len(verdicts)} gates pass"
    )


def _beaten(ratio: Difference) -> bool:
    return ratio.estimate is not None and ratio.estimate.high < 1


def sentences(view: View, verdicts: list[Verdict]) -> list[str]:
    """Return what a reader should know before the tables."""
    return [
        _perplexity(view),
        *(_katas(view, name) for name in [*view.settings.controls, "teacher"]),
        _exports(view, verdicts),
        _gates(verdicts),
    ]


def _perplexity(view: View) -> str:
    students, mine = view.results.students, view.student
    values = {name: students[name].perplexity.value for name in view.settings.controls}
    if view.results.teacher_perplexity:
        values["teacher"] = view.results.teacher_perplexity.value
    parts = []
    for name, value in values.items():
        ratio = view.perplexity_over[name].estimate
        shown = text.plain(ratio, 3) if ratio else "not to be compared with that"
        parts.append(f"{shown} of {'the ' * (name == 'teacher')}{name}'s {value:.2f}")
    return (
        f"Test perplexity over {text.whole(mine.perplexity.n)} rows: {mine.name} "
        f"{mine.perplexity.value:.2f}, which is {_list(parts)}."
    )


def _katas(view: View, name: str) -> str:
    found, mine = view.over_students[name], view.settings.student
    if found.estimate is None:
        return f"Katas, {mine} against {name}: not run ({found.reason})."
    other = "the teacher" if name == "teacher" else name
    return f"Katas: {mine} {_compared(found.estimate)} {other}, {text.sentence(found.estimate)}."


def _compared(estimate: Estimate) -> str:
    if estimate.low > 0:
        return "solves more than"
    if estimate.high < 0:
        return "solves fewer than"
    return "cannot be told from"


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


def _list(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

"""The tables, as text: the HTML report and the Markdown file show the same cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from potstill.report import text
from potstill.report.comparison import View
from potstill.report.differences import Difference
from potstill.report.gates import Verdict
from potstill.report.results import Estimate

NONE = "-"


@dataclass(frozen=True)
class Table:
    """Column heads and rows of text.

    Attributes:
        left: how many columns are text; the others are numbers and stand to the right.
        state: the column that holds pass, fail or not-run; -1 for none.
    """

    title: str
    note: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: int = 1
    state: int = -1


def all_tables(view: View, verdicts: list[Verdict]) -> list[Table]:
    """Return the tables of results in reading order."""
    return [students(view), quality(view), cost(view), gates(verdicts)]


def short(view: View, most: int = 6) -> Table:
    """The teacher, a control, and the student's exports, the delivered one and the smallest."""
    strongest = max(
        (view.scored(name) for name in view.settings.controls),
        key=lambda item: item.katas.value if item.katas else -1.0,
        default=None,
    )
    others = [view.teacher, *([strongest] if strongest else [])]
    mine = view.scored(view.settings.student)
    chosen = [item for item in view.delivered if item is not mine][-(most - len(others) - 1) :]
    shown = [*others, *(item for item in view.delivered if item is mine or item in chosen)]
    rows = []
    for item in shown:
        run, inside = item.latency, item.inside_subset
        rows.append((
            item.name, text.megabytes(item.size_bytes),
            f"{run.tokens_per_s:.0f}" if run else text.NOT_RUN, text.rate(item.katas),
            text.percent(inside.value) if inside else text.NOT_RUN, item.parity.verdict,
        ))  # fmt: skip
    return Table(
        "Exports",
        "Katas of families that were not trained on, 95 % intervals.",
        ("Export", "Size", "Tokens/s", "Katas pass@1", "Inside the subset", "Parity"),
        rows,
    )


def students(view: View) -> Table:
    """The student beside its controls and the teacher."""
    settings = view.settings
    rows = []
    for name in view.results.students:
        student, variant = view.results.students[name], view.scored(name)
        rows.append((
            name, text.whole(student.num_tokens), text.plain(student.perplexity),
            _ratio(view.perplexity_over.get(name)), text.rate(variant.katas),
            _points(view.over_students.get(name)), text.rate(variant.humaneval),
        ))  # fmt: skip
    teacher = view.teacher
    rows.append((
        f"teacher ({teacher.name})", NONE, text.plain(view.results.teacher_perplexity),
        _ratio(view.perplexity_over["teacher"]), text.rate(teacher.katas),
        _points(view.over_students["teacher"]), text.rate(teacher.humaneval),
    ))  # fmt: skip
    shown = ", ".join(sorted({view.scored(name).name for name in settings.students}))
    return Table(
        "Students",
        f"Scored through {shown}. Perplexity is the checkpoint's, its ratio is taken row by row, "
        f"on {text.whole(view.student.perplexity.n)} test rows; the teacher's is that of its "
        "trimmed vocabulary.",
        (
            "Student",
            "Tokens trained on",
            "Test perplexity",
            f"{settings.student} over this",
            "Katas pass@1",
            f"{settings.student} minus this, points",
            "HumanEval pass@1",
        ),
        rows,
    )


def quality(view: View) -> Table:
    """What each export can do."""
    rows = []
    for item in view.variants:
        agreement = item.parity.top1_agreement
        inside = text.rate(item.inside_subset) if item.inside_subset else NONE
        rows.append((
            item.name, item.format, item.parity.verdict,
            text.rate(agreement) if agreement else NONE, text.rate(item.katas),
            _points(view.over_baseline.get(item.name)), inside,
        ))  # fmt: skip
    return Table(
        "Exports: quality",
        "Each artefact answers through its own runtime. Parity compares it with the checkpoint "
        f"that it came from; the difference is to {view.baseline.name} on the katas both tried.",
        (
            "Export",
            "Format",
            "Parity",
            "Same top token",
            "Katas pass@1",
            f"Minus {view.baseline.name}, points",
            "Inside the subset",
        ),
        rows,
        left=3,
        state=2,
    )


def _points(found: Difference | None) -> str:
    return _paired(found, text.points)


def _ratio(found: Difference | None) -> str:
    return _paired(found, lambda estimate: text.plain(estimate, 3))


def _paired(found: Difference | None, shown: Callable[[Estimate], str]) -> str:
    if found is None:
        return NONE
    return shown(found.estimate) if found.estimate else _not_run(found.reason)


def cost(view: View) -> Table:
    """What each export takes."""
    rows = []
    for item in view.variants:
        size, run = text.megabytes(item.size_bytes), item.latency
        if run is None:
            rows.append((item.name, size, *[text.NOT_RUN] * 5))
            continue
        rows.append((
            item.name, size, f"{run.load_ms:.0f}", f"{run.first_token_ms_p50:.0f}",
            f"{run.first_token_ms_p95:.0f}", f"{run.tokens_per_s:.1f}", f"{run.peak_rss_mb:.0f}",
        ))  # fmt: skip
    runs = [item.latency for item in view.variants if item.latency]
    counts = sorted({run.n for run in runs})
    where = "; ".join(sorted({run.cpu for run in runs})) or "not run anywhere"
    times = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else "".join(map(str, counts)) or "0"
    return Table(
        "Exports: cost",
        f"Medians over {times} runs, in a fresh process; {where}.",
        (
            "Export",
            "Size",
            "Load, ms",
            "First token, ms (p50)",
            "First token, ms (p95)",
            "Tokens/s",
            "Peak RSS, MB",
        ),
        rows,
    )


def gates(verdicts: list[Verdict]) -> Table:
    """Every requirement and whether it holds."""
    rows = [
        (v.gate.replace("_", " "), v.subject, v.state, v.measured, v.bound, v.reason or NONE)
        for v in verdicts
    ]
    return Table(
        "Gates",
        "pass, fail, or not-run with the reason; what was not measured does not pass.",
        ("Gate", "Of", "State", "Measured", "Required", "Remark"),
        rows,
        left=6,
        state=2,
    )


def artefacts(view: View) -> Table:
    """The files of each export with their hashes."""
    rows = [
        (item.name, file, sha256)
        for item in view.variants
        for file, sha256 in sorted(item.sha256.items())
    ]
    return Table("Artefacts", "SHA-256 of every file.", ("Export", "File", "SHA-256"), rows, left=3)


def _not_run(reason: str) -> str:
    return f"{text.NOT_RUN}: {reason}"


def markdown(table: Table) -> str:
    """Return a table in Markdown, its title a heading, every cell one line of plain text."""
    return f"### {table.title}\n\n{_plain(table.note)}\n\n{lines(table)}"


def lines(table: Table) -> str:
    """Return the head and the rows alone in Markdown."""
    aligned = ["---" if place < table.left else "---:" for place in range(len(table.head))]
    return "\n".join([_line(table.head), _line(aligned), *map(_line, table.rows)]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(cell: str) -> str:
    """Escape what Markdown would read as markup, a column or HTML."""
    cell = " ".join(cell.split())
    for sign in "\\|`*<>[":
        cell = cell.replace(sign, f"\\{sign}")
    return cell

"""The tables, as text: the HTML report and the Markdown file show the same cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from potstill.report import text
from potstill.report.claims import Claim
from potstill.report.comparison import TEACHER, View
from potstill.report.gates import Verdict
from potstill.report.results import PERPLEXITY, Estimate, Score, Variant
from potstill.report.verdict import words

NONE = "-"


@dataclass(frozen=True)
class Table:
    """Column heads and rows of text.

    Attributes:
        left: how many columns are text; the others are numbers and stand to the right.
        state: the column that holds pass, fail or not-run; -1 for none.
        words: the column that holds a sentence; -1 for none but the last.
    """

    title: str
    note: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: int = 1
    state: int = -1
    words: int = -1


def all_tables(view: View, verdicts: list[Verdict]) -> list[Table]:
    """Return the tables of results in reading order."""
    return [
        students(view), differences(view), quality(view), *scores(view), cost(view),
        gates(verdicts),
    ]  # fmt: skip


def short(view: View, most: int = 6) -> Table:
    """The teacher, the primary endpoint's control, and the student's exports to the smallest."""
    task, measure = view.settings.primary.task, view.settings.primary.measure
    others = [view.teacher, view.students[view.settings.primary.against].variants[0]]
    chosen = [item for item in view.delivered if item is not view.item][-(most - len(others) - 1) :]
    shown = [*others, *(item for item in view.delivered if item is view.item or item in chosen)]
    rows = []
    for item in shown:
        run, inside = item.latency, item.rate(task, "inside_subset")
        rows.append((
            item.name, text.megabytes(item.size_bytes),
            f"{run.tokens_per_s:.0f}" if run else text.NOT_RUN, _rate(item, task, measure),
            text.percent(inside.value) if inside else text.NOT_RUN, item.parity.verdict,
        ))  # fmt: skip
    return Table(
        "Exports",
        "Problems of families that were not trained on, 95 % intervals.",
        (
            "Export", "Size", "Tokens/s", f"{task} {text.measure(measure)}", "Inside the subset",
            "Parity",
        ),
        rows,
    )  # fmt: skip


def students(view: View) -> Table:
    """The student beside its controls and the teacher."""
    rows, found = [], ((task, view.measure(task)) for task in view.tasks)
    measures = {task: measure for task, measure in found if measure is not None}
    for name in [*view.students, TEACHER]:
        runs = [] if name == TEACHER else view.students[name].runs
        others = [
            text.rate(view.rate(name, task, measure))
            if all(task in item.scores for item in view.exports(name))
            else NONE
            for task, measure in measures.items()
        ]
        rows.append((
            f"{name} ({view.teacher.name})" if name == TEACHER else name,
            str(len(runs)) if runs and view.students[name].is_trained else NONE,
            text.whole(runs[0].num_tokens) if runs else NONE,
            text.plain(view.perplexity(name)), *others,
        ))  # fmt: skip
    shown = ", ".join(dict.fromkeys(v.name for s in view.students.values() for v in s.variants))
    return Table(
        "Students",
        f"Scored through {shown}; rates and perplexities are over all training seeds. Perplexity "
        f"is the checkpoint's on {text.whole(view.student.runs[0].perplexity.n)} test rows; the "
        "teacher's is that of its trimmed vocabulary.",
        (
            "Student", "Seeds", "Tokens trained on", "Test perplexity",
            *(f"{task} {text.measure(measure)}" for task, measure in measures.items()),
        ),
        rows,
    )  # fmt: skip


def differences(view: View) -> Table:
    """Every difference, with what it establishes; the primary endpoint first."""
    rows = []
    for claim in view.claims:
        sign = "over" if claim.task == PERPLEXITY else "minus"
        what = claim.task if claim.task == PERPLEXITY else _endpoint(claim)
        found = claim.found.estimate
        shown = (text.ratio if claim.task == PERPLEXITY else text.points)(found)
        rows.append((
            what, f"{claim.first} {sign} {claim.second}", words(claim), shown,
            NONE if claim.seeds is None else str(claim.seeds),
            f"{claim.found.p:.2g}" if found else NONE, f"{claim.p:.2g}" if found else NONE,
        ))  # fmt: skip
    return Table(
        "Differences",
        "The first row is the primary endpoint, chosen before the run; all others are exploratory, "
        "and their p-values are corrected for their number by Holm's method. Rates in points, "
        "perplexities as ratios, below 1 is better.",
        ("On", "Of", "The first is", "Difference", "Seeds", "p", "p, corrected"),
        rows,
        left=3,
        words=2,
    )


def _endpoint(claim: Claim) -> str:
    return f"{claim.task} {text.measure(claim.measure)}" + ", primary" * claim.is_primary


def quality(view: View) -> Table:
    """What each export can do."""
    task, measure, rows = view.settings.primary.task, view.settings.primary.measure, []
    over = {claim.first: claim for claim in view.claims if claim.second == view.baseline.name}
    for item in view.variants:
        agreement = item.parity.top1_agreement
        difference = over.get(item.name)
        rows.append((
            item.name, item.format, item.parity.verdict,
            text.rate(agreement) if agreement else NONE, _rate(item, task, measure),
            _paired(difference, text.points) if difference else NONE,
        ))  # fmt: skip
    return Table(
        "Exports: quality",
        "Each artefact answers through its own runtime. Parity compares it with the checkpoint "
        f"that it came from; the difference is to {view.baseline.name} on the problems both tried.",
        (
            "Export", "Format", "Parity", "Same top token", f"{task} {text.measure(measure)}",
            f"Minus {view.baseline.name}, points",
        ),
        rows,
        left=3,
        state=2,
    )  # fmt: skip


def _paired(claim: Claim, shown: Callable[[Estimate], str]) -> str:
    found = claim.found
    return shown(found.estimate) if found.estimate else _not_run(found.reason)


def _rate(item: Variant, task: str, measure: str) -> str:
    found = item.rate(task, measure)
    return text.rate(found) if found else _not_run(item.why_not(task) or "not measured")


def scores(view: View) -> list[Table]:
    """Every measure of every task that an export tried; tasks of one main measure share a table."""
    found = {
        (task, item.name): item.scores[task]
        for task in view.tasks
        for item in view.variants
        if task in item.scores
    }
    mains = dict.fromkeys(score.measure for score in found.values() if score.measure)
    first = next(iter(mains), "")  # what was not tried has no measure
    return [
        _scores(
            f"Scores: {text.measure(main)}" if main != first else "Scores",
            {key: score for key, score in found.items() if (score.measure or first) == main},
        )
        for main in mains or [""]
    ]


def _scores(title: str, found: dict[tuple[str, str], Score]) -> Table:
    # a part of a task bears its name in brackets, and is drawn
    names = {name: None for score in found.values() for name in score.measures if "[" not in name}
    rows = []
    for (task, item), score in found.items():
        first = next(iter(score.measures.values()), None)
        cells = [score.measures.get(name) for name in names]
        rows.append((
            item, task, score.reason or NONE, str(first.n) if first else NONE,
            *(text.value(cell) if cell else NONE for cell in cells),
        ))  # fmt: skip
    return Table(
        title,
        "Shares of all answers, but where a unit stands, with 95 % intervals. A task is not run, "
        "and has no numbers, "
        "where its answers were cut off or nothing was tried.",
        ("Export", "Task", "Not run because", "n", *map(_head, names)),
        rows,
        left=3,
        words=2,
    )  # fmt: skip


def _head(measure: str) -> str:
    shown = text.measure(measure)
    return shown.capitalize() if shown.islower() else shown


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

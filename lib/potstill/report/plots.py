"""The plots: quality against size and speed, loss curves, rejections, levels."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from potstill.report import figure, text
from potstill.report.comparison import View
from potstill.report.figure import Plot, drawing, to_svg
from potstill.report.labels import Box, Label, fix_layout, place
from potstill.report.results import Estimate, Latency, Variant

MOST_REASONS = 12
APART_PX = 7.0  # an interval has caps of five


def all_plots(view: View) -> list[Plot]:
    """Return all plots in reading order."""
    return [
        against_size(view), against_speed(view), against_first_token(view), loss_curves(view),
        *own_answers(view), levels(view), rejections(view),
    ]  # fmt: skip


def colour(view: View, owner: str) -> str:
    """Return the placeholder colour of a role: student, teacher or a control's name."""
    if owner in ("student", view.settings.student):
        return figure.STUDENT
    if owner in view.settings.controls:
        return figure.CONTROLS[view.settings.controls.index(owner) % len(figure.CONTROLS)]
    return figure.TEACHER


def against_size(view: View) -> Plot:
    """The primary measure of every export over its size."""
    points = [(item.size_bytes / 1e6, item) for item in view.drawn if _rate(view, item)]
    best = max(view.delivered, key=lambda item: rate.value if (rate := _rate(view, item)) else -1.0)
    smallest = view.delivered[-1]
    title = (
        f"From {text.megabytes(view.delivered[0].size_bytes)} to "
        f"{text.megabytes(smallest.size_bytes)}: {smallest.name} solves "
        f"{_share(view, smallest)} of {view.settings.primary.task}, {best.name} "
        f"{_share(view, best)}"
    )
    note = (
        "Bars are 95 % intervals of one training seed. Exports of nearly one size are moved apart "
        "sideways."
    )
    runs = view.results.runs
    budgets = [p for p in points if (run := runs.get(p[1].owner)) and run.budget_bytes is not None]
    if len(budgets) > 1:
        note += " The line joins students that were cut to fit a number of bytes."
    return _scatter(view, "quality-size", title, note, points, "Size, MB", line=budgets)


def against_speed(view: View) -> Plot:
    """The primary measure over decoding speed; the controls have the student's shape."""
    points = [(run.tokens_per_s, item) for item, run in _timed(view)]
    fast = max(points, key=lambda point: point[0], default=None)
    title = (
        f"Fastest: {fast[1].name}, {fast[0]:.0f} tokens/s at {_share(view, fast[1])} of "
        f"{view.settings.primary.task}"
        if fast
        else "Speed was not measured"
    )
    note = "Further right is faster. The controls have the student's shape and are left out."
    return _scatter(view, "quality-speed", title, note, points, "Tokens/s")


def against_first_token(view: View) -> Plot:
    """The primary measure over the time to the first token."""
    points = [(run.first_token_ms_p50, item) for item, run in _timed(view)]
    fast = min(points, key=lambda point: point[0], default=None)
    title = (
        f"Shortest wait: {fast[1].name}, {fast[0]:.0f} ms to the first token"
        if fast
        else "Time to the first token was not measured"
    )
    note = "Medians; further left is faster."
    return _scatter(view, "quality-first-token", title, note, points, "Time to first token, ms")


def _rate(view: View, item: Variant) -> Estimate | None:
    """Return an export's primary measure."""
    return item.rate(view.settings.primary.task, view.settings.primary.measure)


def _axis(view: View) -> str:
    primary = view.settings.primary
    return f"{primary.task} {text.measure(primary.measure)}, %"


def _share(view: View, item: Variant) -> str:
    found = _rate(view, item)
    return text.percent(found.value) if found else "an unknown share"


def _timed(view: View) -> list[tuple[Variant, Latency]]:
    shown = [item for item in view.drawn if view.role(item) in ("student", "teacher")]
    return [(item, item.latency) for item in shown if _rate(view, item) and item.latency]


def _scatter(
    view: View,
    name: str,
    title: str,
    note: str,
    points: list[tuple[float, Variant]],
    x_label: str,
    line: Sequence[tuple[float, Variant]] = (),
) -> Plot:
    if not points:
        return Plot(name, title, None, "No export has both numbers.")
    with drawing(name) as (figure_, axes):
        axes.set_xlabel(x_label)
        axes.set_ylabel(_axis(view))
        labels = []
        for x, item in points:
            rate = _rate(view, item)
            assert rate is not None
            y, low, high = (100 * v for v in (rate.value, rate.low, rate.high))
            paint = colour(view, view.role(item))
            labels.append((x, y, low, high, item.name, paint))
        _frame(axes, labels)
        joined = sorted((x, 100 * rate.value) for x, item in line if (rate := _rate(view, item)))
        axes.plot([x for x, _ in joined], [y for _, y in joined], color=figure.INK, linewidth=0.8)
        _draw_points(figure_, axes, labels)
        return Plot(name, title, to_svg(figure_, name, title), note)


def _frame(axes: Any, points: list[Any]) -> None:  # noqa: ANN401 - matplotlib's Axes
    """Fix the limits before names are placed: room on both sides, nothing below zero."""
    xs = [point[0] for point in points]
    margin = 0.18 * ((max(xs) - min(xs)) or max(xs) or 1.0)
    axes.set_xlim(max(0.0, min(xs) - margin), max(xs) + 1.5 * margin)
    axes.set_ylim(0, min(103.0, 1.12 * max(point[3] for point in points) + 2))


def _draw_points(figure_: Any, axes: Any, points: list[Any]) -> None:  # noqa: ANN401
    """Draw points with error bars, from left to right and at least a few pixels apart."""
    fix_layout(figure_)
    labels: list[Label] = []
    avoid: list[Box] = []
    points = sorted(points)
    true = [axes.transData.transform((x, 0))[0] for x, *_ in points]
    for pixel, (_, y, low, high, name, paint) in zip(_apart(true), points, strict=True):
        at = axes.transData.inverted().transform((pixel, 0))[0]
        axes.errorbar(
            at, y, yerr=[[max(0.0, y - low)], [max(0.0, high - y)]], fmt="o", markersize=6,
            color=paint, elinewidth=1.2, capsize=2.5,
        )  # fmt: skip
        bottom, top = (axes.transData.transform((at, v))[1] for v in (low, high))
        avoid.append((pixel - 3, bottom, pixel + 3, top))
        labels.append(Label(at, y, name, paint))
    place(axes, labels, avoid)


def _apart(pixels: list[float]) -> list[float]:
    """Return ascending places at least a few pixels apart, those of a crowd around its middle."""
    crowds: list[list[float]] = []
    for pixel in pixels:
        crowds.append([pixel])
        while len(crowds) > 1 and _span(crowds[-1])[0] - _span(crowds[-2])[1] < APART_PX:
            last = crowds.pop()
            crowds[-1] += last
    return [_span(crowd)[0] + n * APART_PX for crowd in crowds for n in range(len(crowd))]


def _span(crowd: list[float]) -> tuple[float, float]:
    """Return where a crowd begins and ends once its members stand apart."""
    middle, half = sum(crowd) / len(crowd), (len(crowd) - 1) / 2 * APART_PX
    return middle - half, middle + half


def loss_curves(view: View) -> Plot:
    """Training and validation loss of every student; one that was not trained is a level line."""
    mine = view.student.runs[0]
    end = f"{mine.validation_nats:.2f} nats a validation token"
    title = f"{mine.name} ends at {end} after {mine.steps} steps"
    with drawing("loss") as (figure_, axes):
        for name, student in view.students.items():
            paint = colour(view, name)
            label = f"{name} (validation)"
            for run in student.runs:
                if not run.history.losses:
                    axes.axhline(run.validation_nats, color=paint, linestyle="--", label=label)
                else:
                    axes.plot(*zip(*run.history.losses, strict=True), color=paint, alpha=0.35)
                    steps, losses = [[pair[i] for pair in run.history.validation] for i in (0, 1)]
                    axes.plot(steps, losses, color=paint, marker="o", markersize=5, label=label)
                label = "_"  # the legend names a student once
        level = view.results.teacher.validation_nats
        axes.axhline(level, color=figure.TEACHER, linestyle=":", label="teacher (validation)")
        axes.set_xlabel("Step")
        axes.set_ylabel("Cross-entropy, nats a token")
        figure_.legend(loc="outside upper left", ncols=2, fontsize=8)
        note = "Faint lines: the cross-entropy of each training batch. Points: validation rows."
        return Plot("loss", title, to_svg(figure_, "loss", title), note)


def own_answers(view: View) -> list[Plot]:
    """Divergence and verdicts of students' own answers by step; nothing where none is so taught."""
    runs = [(n, run) for n, s in view.students.items() for run in s.runs if run.history.answers]
    if not runs:
        return []
    mine = next((run for name, run in runs if name == view.settings.student), runs[0][1])
    told = mine.history.answers
    few = max(1, len(told) // 4)
    first, last = (sum(one.passed for one in part) / few for part in (told[:few], told[-few:]))
    title = (
        f"Of its own answers {mine.name} passes {text.percent(last)} in the last quarter of its "
        f"steps, {text.percent(first)} in the first"
    )
    with drawing("own_answers") as (figure_, axes):
        right = axes.twinx()
        for name, run in runs:
            paint, steps = colour(view, name), [one.step for one in run.history.answers]
            nats = [one.kl_nats for one in run.history.answers]
            axes.plot(steps, nats, color=paint, label=f"{run.name} (divergence)")
            shares = [100 * one.passed for one in run.history.answers]
            right.plot(steps, shares, color=paint, linestyle=":", label=f"{run.name} (passed)")
        axes.set_xlabel("Step")
        axes.set_ylabel("Divergence from the teacher, nats a token")
        right.set_ylabel("Passed, % of the step's answers")
        right.set_ylim(0, 100)
        figure_.legend(loc="outside upper left", ncols=2, fontsize=8)
        worst = max(abs(one.staleness_nats) for _, run in runs for one in run.history.answers)
        note = (
            "Answers that a student draws while it is trained, so no measure of what it is "
            f"delivered with. Their staleness is at most {worst:.4f} nats a token."
        )
        return [Plot("own_answers", title, to_svg(figure_, "own_answers", title), note)]


def levels(view: View) -> Plot:
    """The main measure of the primary endpoint's task by level: the students and the teacher."""
    primary = view.settings.primary
    shown = {"teacher": view.teacher} | {n: s.variants[0] for n, s in view.students.items()}
    rates = {name: _by_level(item, primary.task) for name, item in shown.items()}
    rates = {name: found for name, found in rates.items() if found}
    every = sorted({level for found in rates.values() for level in found})
    mine = rates.get(view.settings.student)
    if not mine:
        nothing = f"{primary.task} has no levels, or the student was not scored on it."
        return Plot("levels", "Levels were not measured", None, nothing)
    first, last = min(mine), max(mine)
    title = (
        f"{view.item.name} solves {text.percent(mine[first].value)} of {primary.task} at level "
        f"{first} and {text.percent(mine[last].value)} at level {last}"
    )
    width = 0.8 / len(rates)
    with drawing("levels") as (figure_, axes):
        for place_, (name, found) in enumerate(rates.items()):
            xs = [every.index(level) + (place_ - (len(rates) - 1) / 2) * width for level in found]
            heights = [100 * rate.value for rate in found.values()]
            axes.bar(xs, heights, 0.88 * width, color=colour(view, name), label=name)
        counts = [max(f[level].n if level in f else 0 for f in rates.values()) for level in every]
        ticks = [f"level {level}\nn {n}" for level, n in zip(every, counts, strict=True)]
        axes.set_xticks(range(len(every)), ticks)
        axes.set_ylabel(f"{primary.task} {text.measure(view.item.scores[primary.task].measure)}, %")
        axes.grid(visible=False, axis="x")
        figure_.legend(loc="outside upper left", ncols=4, fontsize=8)
        note = "Levels go by how hard a problem is to solve; n is the number of problems tried."
        return Plot("levels", title, to_svg(figure_, "levels", title), note)


def _by_level(item: Variant, task: str) -> dict[int, Estimate]:
    """Return level -> the task's main measure there."""
    score = item.scores.get(task)
    if score is None:
        return {}
    name = re.compile(rf"{re.escape(score.measure)}\[level=(\d+)\]")
    found = ((name.fullmatch(measure), rate) for measure, rate in score.measures.items())
    return dict(sorted((int(match[1]), rate) for match, rate in found if match))


def rejections(view: View) -> Plot:
    """Rows that curation rejected, by reason."""
    curated = view.results.curated
    ranked = sorted(curated.rejected.items(), key=lambda item: (-item[1], item[0]))
    ranked = [(reason, count) for reason, count in ranked if count > 0]
    title = f"{text.whole(curated.num_kept)} of {text.whole(curated.num_in)} candidates were kept"
    if not ranked:
        return Plot("rejections", title, None, "No row was rejected.")
    title += f"; most others: {ranked[0][0].replace('_', ' ')}"
    if len(ranked) > MOST_REASONS:
        rest = sum(count for _, count in ranked[MOST_REASONS - 1 :])
        ranked = [*ranked[: MOST_REASONS - 1], ("all others", rest)]
    with drawing("rejections", 0.9 + 0.24 * len(ranked)) as (figure_, axes):
        names = [textwrap.shorten(reason.replace("_", " "), 32) for reason, _ in ranked]
        bars = axes.barh(range(len(ranked)), [n for _, n in ranked], 0.7, color=figure.PLAIN)
        axes.set_yticks(range(len(ranked)), names)
        axes.bar_label(bars, padding=3, fontsize=8)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Rows rejected")
        return Plot(
            "rejections", title, to_svg(figure_, "rejections", title), "First reason that held."
        )

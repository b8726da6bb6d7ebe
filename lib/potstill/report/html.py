"""The report, as one HTML page and as Markdown."""

from pathlib import Path

from potstill.report import contamination, page, plots, tables, verdict
from potstill.report.comparison import View
from potstill.report.gates import Verdict

TEMPLATE = Path(__file__).with_name("report.html")


def render(view: View, verdicts: list[Verdict]) -> str:
    """Return the page; equal numbers give equal bytes."""
    return page.render(
        TEMPLATE,
        headline=verdict.headline(view, verdicts),
        sentences=verdict.sentences(view, verdicts),
        tables={table.title: table for table in tables.all_tables(view, verdicts)},
        scores=tables.scores(view),
        artefacts=tables.artefacts(view),
        contamination=contamination.table(view),
        plots={plot.name: plot for plot in plots.all_plots(view)},
        lineage=view.results.lineage,
        seeds=len(view.student.runs),
        baseline=view.baseline.name,
    )


def markdown(view: View, verdicts: list[Verdict]) -> str:
    """Return the same verdict and tables as Markdown, for the terminal and the README."""
    said = "\n".join(f"- {line}" for line in verdict.sentences(view, verdicts))
    parts = [f"## {verdict.headline(view, verdicts)}\n\n{said}\n"]
    shown = [*tables.all_tables(view, verdicts), contamination.table(view)]
    parts += [tables.markdown(table) for table in shown]
    return "\n".join(parts)

"""Fan in what every stage measured: one table, gates in three states, one HTML report.

Reads   teacher     metrics of the model that teaches, as it was fetched
        metrics_in  folder of one JSON file a stage, or a folder with one a variant
        data        folder of what training and scoring made row by row
        models      folder with the artefacts' descriptions
Writes  headline_out the few numbers that `dvc exp show` has columns for, as JSON
        shown_out   folder: CSV for `dvc plots`, quality.svg and table.md for documents
        table_out   Markdown tables
        report_out  self-contained HTML
        metrics     gates by state, every difference with its interval and p
"""

from pathlib import Path

from potstill import files, stage
from potstill.report import gates, headline, html, load, shown, summary
from potstill.report.comparison import View
from potstill.report.settings import Comparison as Params


def main(  # noqa: PLR0913 - four things that are read, four that are written
    params: Params,
    *,
    teacher: Path,
    metrics_in: Path,
    data: Path,
    models: Path,
    headline_out: Path,
    shown_out: Path,
    table_out: Path,
    report_out: Path,
) -> dict[str, float]:
    """Compare, judge and write."""
    sources = load.Sources(teacher=teacher, metrics=metrics_in, data=data, models=models)
    view = View(load.load(sources, params), params)
    verdicts = gates.judge(view)
    gates.stop_unless_passed(verdicts, params)
    files.write_text(headline_out, headline.text(view, verdicts))
    shown.write(view, shown_out)
    files.write_text(table_out, html.markdown(view, verdicts))
    files.write_text(report_out, html.render(view, verdicts))
    return summary.summary(view, verdicts)


if __name__ == "__main__":
    stage.run(main, Params)

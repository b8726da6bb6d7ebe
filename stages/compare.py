"""Fan in what every stage measured: one table, gates in three states, one HTML report.

Reads   one JSON file a stage, or a folder with one a variant (see the flags)
        training, artefacts, scores: folders of what distill, export and score made
Writes  headline_out the few numbers that `dvc exp show` has columns for, as JSON
        shown_out   folder: CSV for `dvc plots`, quality.svg and table.md for documents
        table_out   Markdown tables
        report_out  self-contained HTML
        metrics     gates by state, perplexity ratios, differences in pass@1 with intervals
"""

from pathlib import Path

from potstill import files, stage
from potstill.report import gates, headline, html, load, shown, summary
from potstill.report.comparison import View
from potstill.report.settings import Comparison as Params


def main(  # noqa: PLR0913 - one flag for each thing that is compared
    params: Params,
    *,
    fetch_model: Path,
    curate: Path,
    build_dataset: Path,
    build_vocabulary: Path,
    adapt_teacher: Path,
    init_student: Path,
    cache_logits: Path,
    distill: Path,
    training: Path,
    export: Path,
    artefacts: Path,
    score: Path,
    scores: Path,
    headline_out: Path,
    shown_out: Path,
    table_out: Path,
    report_out: Path,
) -> dict[str, float]:
    """Compare, judge and write."""
    sources = load.Sources(
        fetch_model=fetch_model, curate=curate, build_dataset=build_dataset,
        build_vocabulary=build_vocabulary, adapt_teacher=adapt_teacher, init_student=init_student,
        cache_logits=cache_logits, distill=distill, training=training, export=export,
        artefacts=artefacts, score=score, scores=scores,
    )  # fmt: skip
    view = View(load.load(sources, params.students, params.student), params)
    verdicts = gates.judge(view)
    gates.stop_unless_passed(verdicts, params)
    files.write_text(headline_out, headline.text(view, verdicts))
    shown.write(view, shown_out)
    files.write_text(table_out, html.markdown(view, verdicts))
    files.write_text(report_out, html.render(view, verdicts))
    return summary.summary(view, verdicts)


if __name__ == "__main__":
    stage.run(main, Params)

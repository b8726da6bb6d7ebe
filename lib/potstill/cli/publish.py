"""Freeze a run's results for readers: documents show one run, the workspace holds another."""

import shutil
from pathlib import Path

from potstill import files
from potstill.errors import InputError

# In the run's folder -> in the published folder.
FILES = {
    "metrics/report.html": "report.html",
    "metrics/results.md": "results.md",
    "metrics/headline.json": "headline.json",
    "metrics/shown/results.json": "results.json",
    "metrics/shown/table.md": "table.md",
    "metrics/shown/quality.svg": "quality.svg",
    "data/card/certificate.json": "certificate.json",
}


def publish(run: Path, folder: Path, document: Path) -> list[Path]:
    """Copy the results of a run's folder into another and its table between a document's marks.

    The marks bear the folder's name, so that a document can show several runs.

    Returns:
        What was written.

    Raises:
        InputError: a result is missing, or the document has not both marks once; nothing is
            written then.
    """
    missing = [str(run / name) for name in FILES if not (run / name).is_file()]
    if missing:
        raise InputError(f"{', '.join(missing)} missing: run `dvc repro` first")
    start, end = f"<!-- {folder.name} -->\n", f"<!-- /{folder.name} -->"
    text = document.read_text(encoding="utf-8") if document.is_file() else ""
    if text.count(start) != 1 or text.count(end) != 1:
        raise InputError(f"{document} must hold {start.strip()} and {end} once each")
    folder.mkdir(parents=True, exist_ok=True)
    for source, name in FILES.items():
        shutil.copyfile(run / source, folder / name)
    table = (folder / "table.md").read_text(encoding="utf-8")
    before, rest = text.split(start)
    files.write_text(document, f"{before}{start}{table}{end}{rest.split(end)[1]}")
    return [*(folder / name for name in FILES.values()), document]

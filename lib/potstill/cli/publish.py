"""Freeze a run's results for readers: documents show one run, the workspace holds another."""

import shutil
from pathlib import Path

from potstill import files
from potstill.errors import InputError

# In the folder of metrics -> in the published folder.
FILES = {
    "results.md": "results.md",
    "headline.json": "headline.json",
    "shown/results.json": "results.json",
    "shown/table.md": "table.md",
    "shown/quality.svg": "quality.svg",
}


def publish(metrics: Path, folder: Path, document: Path) -> list[Path]:
    """Copy the run's results into a folder and its short table between a document's marks.

    The marks bear the folder's name, so that a document can show several runs.

    Returns:
        What was written.

    Raises:
        InputError: a result is missing, or the document has not both marks once; nothing is
            written then.
    """
    missing = [str(metrics / name) for name in FILES if not (metrics / name).is_file()]
    if missing:
        raise InputError(f"{', '.join(missing)} missing: run `dvc repro` first")
    start, end = f"<!-- {folder.name} -->\n", f"<!-- /{folder.name} -->"
    text = document.read_text(encoding="utf-8") if document.is_file() else ""
    if text.count(start) != 1 or text.count(end) != 1:
        raise InputError(f"{document} must hold {start.strip()} and {end} once each")
    folder.mkdir(parents=True, exist_ok=True)
    for source, name in FILES.items():
        shutil.copyfile(metrics / source, folder / name)
    table = (folder / "table.md").read_text(encoding="utf-8")
    before, rest = text.split(start)
    files.write_text(document, f"{before}{start}{table}{end}{rest.split(end)[1]}")
    return [*(folder / name for name in FILES.values()), document]

"""The README says what is true: its results are the run's, its paths and commands exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from potstill.cli import preflight, presets

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["docs/results", "docs/results/qwen-coder"])
def test_the_results_are_those_of_the_published_runs(folder):
    """Not those of the last run here, which is another machine's or another preset's."""
    name = Path(folder).name
    block = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.S)[1]
    assert block == (ROOT / folder / "table.md").read_text(encoding="utf-8")
    assert len(block.splitlines()) <= 2 + 6
    assert f"({folder}/quality.svg)" in README


def test_the_tutorials_preset_applies(tmp_path):
    page = (ROOT / "docs/your-own-model.md").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(re.search(r"```yaml\n(.*?)```", page, re.S)[1])
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    presets.apply(tmp_path / "mine.yaml", tmp_path / "params.yaml")
    assert preflight.check_settings(ROOT / "dvc.yaml", tmp_path / "params.yaml") == []


def test_every_path_of_the_layout_exists():
    tree = re.search(r"## Layout\n\n```\n(.*?)```", README, re.S)[1]
    for line in tree.splitlines():
        inside = line.startswith("  ")
        for name in re.findall(r"[\w./]+/(?= )", line.split("   ")[0] + " "):
            if name.endswith("/") and name not in ("data/", "models/"):  # made by the run
                folder = ROOT / "lib/potstill" / name if inside else ROOT / name
                assert folder.is_dir(), name


def test_documents_that_are_linked_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_subcommands_that_are_named_exist():
    named = set(re.findall(r"potstill (\w+)", README)) - {"distils"}
    helped = subprocess.run(
        [sys.executable, "-m", "potstill.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"^    (\w+)(?:  |$)", helped, re.M))
    assert named & known
    assert named - known == set()

"""Fixtures of the tests of exporting."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _outside_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where no float16 file of an earlier export is kept, so that each test converts."""
    monkeypatch.chdir(tmp_path)

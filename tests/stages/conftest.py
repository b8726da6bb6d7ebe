"""Small inputs that several stages share."""

from pathlib import Path

import pytest
from potstill import files


def chat(number: int) -> dict:
    """Return one dataset row; every third is of one family."""
    return {
        "group": f"family{number % 3}",
        "format": "code",
        "language": "python",
        "messages": [
            {"role": "system", "content": "You are a coding assistant."},
            {"role": "user", "content": f"wrap text {number}"},
            {"role": "assistant", "content": f"def f(x):\n    return x + {number}"},
        ],
    }


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a dataset folder of twelve training and six held-out rows."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    files.write_jsonl(folder / "train.jsonl", (chat(n) for n in range(12)))
    files.write_jsonl(folder / "heldout.jsonl", (chat(n) for n in range(20, 26)))
    return folder

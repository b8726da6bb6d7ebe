"""Small inputs that several stages share."""

from pathlib import Path

import pytest
from potstill import files

from stages import tokenise


def chat(number: int) -> dict:
    """Return one dataset row; every third is of one family."""
    return {
        "id": f"row{number}",
        "group": f"family{number % 3}",
        "format": "code",
        "language": "python",
        "messages": [
            {"role": "system", "content": "You are a coding assistant."},
            {"role": "user", "content": f"wrap text {number}"},
            {"role": "assistant", "content": f"def f(x):\n    return x + {number}"},
        ],
    }


def dataset_of(folder: Path) -> Path:
    """Write twelve training, four validation and six test rows; return the folder."""
    folder.mkdir()
    files.write_jsonl(folder / "train.jsonl", (chat(n) for n in range(12)))
    files.write_jsonl(folder / "validation.jsonl", (chat(n) for n in range(30, 34)))
    files.write_jsonl(folder / "test.jsonl", (chat(n) for n in range(20, 26)))
    files.write_jsonl(folder / "pairs.jsonl", [])
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a dataset folder of a test's own."""
    return dataset_of(tmp_path / "dataset")


def pair(number: int) -> list[dict]:
    """Return an answer that is chosen, and one that is rejected, to one prompt."""
    row = chat(number)
    *prompt, answer = row["messages"]
    wrong = answer | {"content": answer["content"].replace("(x)", "(x_)")}
    return [row | {"format": "chosen"}, row | {"format": "rejected", "messages": [*prompt, wrong]}]


def tokens_of(dataset: Path, vocabulary: Path, out: Path) -> Path:
    """Return the folder of tables that the stage makes of a dataset."""
    params = tokenise.Params(max_length=128)
    tokenise.main(params, dataset=dataset, vocabulary=vocabulary, out=out)
    return out


@pytest.fixture
def tokens(tiny_llama: Path, dataset: Path, tmp_path: Path) -> Path:
    """Return the tables of the dataset in the ids of the tiny Llama."""
    return tokens_of(dataset, tiny_llama, tmp_path / "tokens")

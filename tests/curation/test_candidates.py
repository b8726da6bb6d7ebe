"""Where candidates come from."""

import pytest
from potstill import files
from potstill.curation import candidates
from potstill.errors import InputError


def test_an_answer_to_a_task_that_is_not_of_training_is_refused(tmp_path):
    for name in ("samples", "functions"):
        files.write_jsonl(tmp_path / f"{name}.jsonl", [])
    files.write_jsonl(tmp_path / "train.jsonl", [{"id": "t", "task": "T", "reference": None}])
    (tmp_path / "answers").mkdir()
    files.write_jsonl(tmp_path / "answers/kd.jsonl", [{"id": "held", "text": "x = 1"}])
    with pytest.raises(InputError, match=r"kd\.jsonl: held is no task of data/prompts/train"):
        list(
            candidates.read(
                tmp_path,
                tmp_path / "samples.jsonl",
                tmp_path / "functions.jsonl",
                tmp_path / "answers",
                0,
            )
        )

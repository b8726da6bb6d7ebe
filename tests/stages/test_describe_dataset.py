"""The certificate is of the rows as they are trained on; both files are there, twice the same."""

import pytest
from potstill import files, katas
from potstill.tasks import TASKS, Where

from stages.describe_dataset import Params, main

SETTINGS = {"sources": {}, "ngram_words": 12, "code_jaccard": 0.8}


def row(name, answer):
    said = [{"role": "user", "content": "Do it."}, {"role": "assistant", "content": answer}]
    return {
        "id": name,
        "format": "code",
        "language": "python",
        "group": name,
        "origin": "reference",
        "licence": "MIT",
        "messages": said,
    }


@pytest.fixture
def folders(tmp_path):
    copy = TASKS["humaneval"].texts(Where())[0].code
    held = katas.instances(0, 1, ["python"])
    for name in ("dataset", "curated", "prompts"):
        (tmp_path / name).mkdir()
    for split in ("train", "validation", "test"):
        files.write_jsonl(tmp_path / f"prompts/{split}.jsonl", held[:3])
        rows = [row("clean", "def f(x):\n    return x"), row("copy", copy)]
        files.write_jsonl(tmp_path / f"dataset/{split}.jsonl", rows)
    files.write_jsonl(tmp_path / "curated/rejected.jsonl", [])
    told = [{"task": "Write a function that returns the largest of three numbers."}] * 3
    told.append({"task": "Gib die größte von drei Zahlen zurück, auch wenn zwei gleich groß sind."})
    files.write_jsonl(tmp_path / "curated/accepted.jsonl", told)
    return tmp_path


def run(folder, out):
    return main(
        Params(**SETTINGS),
        dataset=folder / "dataset",
        curated=folder / "curated",
        prompts=folder / "prompts",
        problems=folder,
        out=folder / out,
    )


def test_a_copy_among_the_training_rows_is_counted_and_named(folders):
    metrics = run(folders, "out")
    assert metrics == {"num_rows": 2, "benchmark_texts": 170, "num_hits": 1, "num_suspects": 0}
    certificate = files.read_json(folders / "out/certificate.json")
    assert {one["row"] for one in certificate["likenesses"]} == {"copy"}
    assert certificate["tasks"]["katas"]["num_texts"] == 6
    page = (folders / "out/card.html").read_text()
    assert "HumanEval/0" in page
    assert "75.0\u00a0%" in page


def test_equal_rows_give_equal_bytes(folders):
    run(folders, "out")
    run(folders, "again")
    assert files.sha256_tree(folders / "out") == files.sha256_tree(folders / "again")

"""The tables hold the rows' ids in the dataset's order; the metrics are counts of them."""

import pytest
from potstill import files
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.tokens import spans, table

from stages.tokenise import Params, main
from tests.stages.conftest import chat as chat_row
from tests.stages.conftest import pair


def run(tiny_llama, dataset, out, max_length=128):
    return main(Params(max_length=max_length), dataset=dataset, vocabulary=tiny_llama, out=out)


def test_every_row_is_there_in_order_and_counted(tiny_llama, dataset, tmp_path):
    metrics = run(tiny_llama, dataset, tmp_path / "a")
    tokenizer = ChatTokenizer(tiny_llama)
    for split in ("train", "validation", "test"):
        rows = list(files.read_jsonl(dataset / f"{split}.jsonl"))
        want = [spans.tokenise(tokenizer, row) for row in rows]
        found = table.open(tmp_path / f"a/{split}.arrow", tokenizer)
        assert [(list(row.ids), list(row.spans)) for row in found] == want
        assert [row.group for row in found] == [row["group"] for row in rows]
        lengths = sorted(len(ids) for ids, _ in want)
        half = next(n for n in lengths if sum(m <= n for m in lengths) * 2 >= len(lengths))
        assert metrics[f"{split}_rows"] == len(rows)
        assert metrics[f"{split}_tokens"] == sum(lengths)
        assert metrics[f"{split}_answer_tokens"] == sum(e - s for _, ((s, e, _),) in want)
        assert metrics[f"{split}_length_p50"] == half
        assert metrics[f"{split}_length_max"] == lengths[-1]
    assert not [name for name in metrics if "rejected" in name]


def test_a_second_run_has_the_same_bytes(tiny_llama, dataset, tmp_path):
    first, second = (run(tiny_llama, dataset, tmp_path / name) for name in "ab")
    assert first == second
    names = sorted(path.name for path in files.files_below(tmp_path / "a"))
    assert names == ["test.arrow", "train.arrow", "validation.arrow"]
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


def test_what_is_rejected_is_counted_by_reason(tiny_llama, dataset, tmp_path):
    long, question = chat_row(1), chat_row(2)
    long["messages"][-1]["content"] = "long " * 199
    question["messages"].pop()
    kept = chat_row(3)
    files.write_jsonl(dataset / "train.jsonl", [long, question, kept, question])
    metrics = run(tiny_llama, dataset, tmp_path / "a")
    counts = {name: n for name, n in metrics.items() if "rejected" in name}
    assert counts == {"train_rejected_too_long": 1, "train_rejected_no_answer": 2}
    assert metrics["train_rows"] == 1


def test_no_row_that_fits_is_an_input_error(tiny_llama, dataset, tmp_path):
    with pytest.raises(InputError, match=r"no row is left for max_length 5 \(12 too_long\): raise"):
        run(tiny_llama, dataset, tmp_path / "a", max_length=5)


def test_pairs_are_a_table_of_their_own_where_there_are_some(tiny_llama, dataset, tmp_path):
    assert "pairs_rows" not in run(tiny_llama, dataset, tmp_path / "a")
    long = pair(1)
    for row in long:
        row["messages"][1]["content"] *= 99
    files.write_jsonl(dataset / "pairs.jsonl", long)
    assert "pairs_rows" not in run(tiny_llama, dataset, tmp_path / "none")
    assert not (tmp_path / "none/pairs.arrow").exists()
    files.write_jsonl(dataset / "pairs.jsonl", [*pair(1), *pair(2)])
    assert run(tiny_llama, dataset, tmp_path / "b")["pairs_rows"] == 4
    found = table.open(tmp_path / "b/pairs.arrow", ChatTokenizer(tiny_llama))
    assert [row.format for row in found] == ["chosen", "rejected"] * 2

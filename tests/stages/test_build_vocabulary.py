"""The vocabulary is chosen by the training rows; a model cut to it computes what it did."""

import shutil

import pytest
import torch
from potstill import files
from potstill.errors import InputError
from potstill.loading import load
from potstill.models.chat import ChatTokenizer
from potstill.vocabulary import trimming

from stages.build_vocabulary import Params, main

CPU = torch.device("cpu")


@pytest.fixture
def inputs(tmp_path):
    chat = [{"role": "user", "content": "wrap the text"}, {"role": "assistant", "content": "def"}]
    (tmp_path / "dataset").mkdir()
    for side in ("train", "validation", "test"):
        files.write_jsonl(tmp_path / "dataset" / f"{side}.jsonl", [{"messages": chat}])
    files.write_jsonl(tmp_path / "modules.jsonl", [{"text": "def wrap(text):\n    return text"}])
    return {"dataset": tmp_path / "dataset", "modules": tmp_path / "modules.jsonl"}


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_logits_are_those_of_the_kept_rows(tiny_checkpoint, inputs, tmp_path, family):
    teacher = tiny_checkpoint(family)
    metrics = main(Params(size=320), teacher=teacher, out=tmp_path / "vocabulary", **inputs)
    assert metrics["vocab_after"] <= 320
    assert metrics["validation_kept_share"] == metrics["test_kept_share"] == 1
    assert metrics["validation_token_growth"] == metrics["test_token_growth"] == 1
    trimming.apply(tmp_path / "vocabulary", teacher, tmp_path / "out")
    kept = files.read_json(tmp_path / "vocabulary" / trimming.NAME)["kept_ids"]
    full, small = ChatTokenizer(teacher), ChatTokenizer(tmp_path / "out")
    text = "def wrap(text):\n    return text"
    ids = small.encode(text)
    assert [kept[i] for i in ids] == full.encode(text)
    with torch.inference_mode():
        before = load.causal_lm(teacher, torch.float32, CPU)(torch.tensor([full.encode(text)]))
        after = load.causal_lm(tmp_path / "out", torch.float32, CPU)(torch.tensor([ids]))
    assert torch.allclose(before.logits[..., kept], after.logits, atol=1e-5)
    assert small.stop_ids == {kept.index(i) for i in full.stop_ids}


def test_size_zero_keeps_all(tiny_llama, inputs, tmp_path):
    metrics = main(Params(size=0), teacher=tiny_llama, out=tmp_path / "out", **inputs)
    assert metrics["vocab_after"] == metrics["vocab_before"]


def test_modules_decide_about_what_rows_leave_free(tiny_llama, inputs, tmp_path):
    written = "zebra quilt " * 50
    full, kept = ChatTokenizer(tiny_llama), {}
    for name, texts in {"none": [], "some": [{"text": written}]}.items():
        files.write_jsonl(inputs["modules"], texts)
        main(Params(size=320), teacher=tiny_llama, out=tmp_path / name, **inputs)
        kept[name] = set(files.read_json(tmp_path / name / trimming.NAME)["kept_ids"])
    assert set(full.encode("wrap the text")) <= kept["none"] & kept["some"]
    assert set(full.encode(written)) <= kept["some"]
    assert kept["none"] != kept["some"]


def with_delimiter(teacher, out, *, is_added):
    """Copy a checkpoint whose vocabulary has <tool_call> as one entry, found in texts or not."""
    shutil.copytree(teacher, out)
    tokenizer = files.read_json(out / "tokenizer.json")
    number = ChatTokenizer(teacher).vocab_size
    if is_added:
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        tokenizer["added_tokens"].append({"id": number, "content": "<tool_call>", **flags})
    else:
        tokenizer["model"]["vocab"]["<tool_call>"] = number
    files.write_json(out / "tokenizer.json", tokenizer)
    return out


@pytest.mark.parametrize("size", [0, 320])
def test_a_delimiter_that_the_vocabulary_has_is_one_id(tiny_llama, inputs, tmp_path, size):
    call = {"role": "assistant", "content": "<tool_call>\n{}\n</tool_call>"}
    rows = [{"messages": [{"role": "user", "content": "wrap"}, call]}]
    good = with_delimiter(tiny_llama, tmp_path / "good", is_added=True)
    bad = with_delimiter(tiny_llama, tmp_path / "bad", is_added=False)
    params = Params(size=size)
    main(params, teacher=bad, out=tmp_path / "unused", **inputs)  # no row has it
    files.write_jsonl(inputs["dataset"] / "train.jsonl", rows)
    main(params, teacher=good, out=tmp_path / "out", **inputs)
    assert len(ChatTokenizer(tmp_path / "out").encode("<tool_call>")) == 1
    main(params, teacher=tiny_llama, out=tmp_path / "without", **inputs)  # nobody has it as one
    with pytest.raises(InputError, match="<tool_call> is one entry of the vocabulary and is read"):
        main(params, teacher=bad, out=tmp_path / "out2", **inputs)

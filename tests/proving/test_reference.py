"""The record of a checkpoint holds what transformers computes, and damage to it is named."""

import numpy as np
import pytest
import torch
from potstill import files
from potstill.errors import InputError
from potstill.loading.load import ReferenceModel
from potstill.models.chat import ChatTokenizer
from potstill.proving import reference
from transformers import AutoModelForCausalLM

CHATS = [
    [
        {"role": "user", "content": "wrap"},
        {"role": "assistant", "content": "def f(x):\n    x\n" * n},
    ]
    for n in (1, 9)
]
SETTINGS = reference.Settings(texts=2, max_length=30, greedy_prompts=1, greedy_tokens=5, threads=1)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_logits_and_answers_are_those_of_transformers(tiny_checkpoint, tmp_path, family):
    folder, path = tiny_checkpoint(family), tmp_path / "deep/r.safetensors"
    reference.record(ReferenceModel(folder, 1), folder, CHATS, path, SETTINGS)
    found = reference.read(path)
    chat = ChatTokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert found.checkpoint_sha256 == files.sha256_tree(folder)
    assert (found.template, found.stop_ids) == (chat.template, chat.stop_ids)
    assert [len(text.logits_TV) for text in found.texts] == [len(found.texts[0].ids), 30]
    for text, messages in zip(found.texts, CHATS, strict=True):
        assert text.text == chat.render(messages, add_generation_prompt=False)
        assert text.ids == chat.encode(text.text)
        with torch.inference_mode():
            want = model(torch.tensor([text.ids])).logits[0, :30].numpy()
        assert np.allclose(text.logits_TV, want, atol=1e-4)
    (answer,) = found.answers
    ids = chat.encode(chat.render(CHATS[0][:-1]))
    assert answer.prompt == ids
    for made in answer.ids:
        with torch.inference_mode():
            assert made == model(torch.tensor([ids])).logits[0, -1].argmax()
        ids.append(made)
    assert len(answer.ids) == 5 or answer.ids[-1] in chat.stop_ids


def test_two_records_of_one_checkpoint_are_equal(tiny_llama, tmp_path):
    for name in "ab":
        reference.record(
            ReferenceModel(tiny_llama, 1), tiny_llama, CHATS, tmp_path / name, SETTINGS
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_answer_that_ends_keeps_its_stop_id(tiny_llama):
    model = ReferenceModel(tiny_llama, 1)
    free = model.answer([1, 5, 9], 6, [0])
    assert len(free) == 6
    assert model.answer([1, 5, 9], 6, [free[2]]) == free[: free.index(free[2]) + 1]


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_damaged_record_is_named(tiny_llama, tmp_path, keep):
    path = tmp_path / "r.safetensors"
    reference.record(ReferenceModel(tiny_llama, 1), tiny_llama, CHATS, path, SETTINGS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"r\.safetensors is damaged"):
        reference.read(path)


def test_a_missing_or_foreign_file_is_named(tiny_llama, tmp_path):
    with pytest.raises(InputError, match="is missing: run"):
        reference.read(tmp_path / "r.safetensors")
    with pytest.raises(InputError, match="is damaged"):
        reference.read(tiny_llama / "model.safetensors")

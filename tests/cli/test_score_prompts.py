"""`potstill score --prompt`: what is asked in the user's own messages, and what is no prompt."""

import json
from pathlib import Path

import pytest
from potstill import files, tasks
from potstill.cli.__main__ import main
from potstill.models.chat import ChatTokenizer
from potstill.tasks import asking

from tests.cli.conftest import command

pytestmark = pytest.mark.usefixtures("inside")

PROMPT = [
    {"role": "system", "content": "Answer in {braces}."},
    {"role": "user", "content": "Do:\n{prompt}\nNow."},
]


def as_json(path):
    path.write_text(json.dumps(PROMPT))


def as_yaml(path):
    path.write_text(
        "- {role: system, content: 'Answer in {braces}.'}\n"
        "- role: user\n  content: |-\n    Do:\n    {prompt}\n    Now.\n"
    )


@pytest.fixture
def asked(monkeypatch):
    """Collect the texts of the prompts that the runtime is given."""
    texts = []
    render = ChatTokenizer.render

    def listen(self, messages, **others):
        texts.append([message["content"] for message in messages])
        return render(self, messages, **others)

    monkeypatch.setattr(ChatTokenizer, "render", listen)
    return texts


@pytest.mark.parametrize("write", [as_json, as_yaml])
def test_a_prompt_of_the_users_is_asked_with_and_recorded(
    artefact, tmp_path, capsys, uncut, asked, write
):
    write(tmp_path / "mine.yaml")
    row = {"task_id": "mbpp/1", "text": "Add one.", "code": "def add(a):\n    return a + 1",
           "test_list": ["assert add(1) == 2"], "split": "test"}  # fmt: skip
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row) + "\n")
    flags = ["--limit", "1", "--out", "a", "--source", "mbpp=mbpp.jsonl", "--prompt", "mine.yaml"]
    assert main([*command(artefact, "katas,humaneval,mbpp"), *flags]) == 0
    assert [system for system, _ in asked] == ["Answer in {braces}."] * 3
    humaneval = {problem.request for problem in tasks.TASKS["humaneval"].problems(tasks.Where())}
    assert asked[1][1].removeprefix("Do:\n").removesuffix("\nNow.") in humaneval
    shown = "Add one. Your code should pass these tests:\nassert add(1) == 2"
    assert asked[2][1] == f"Do:\n{shown}\nNow."
    assert files.read_json(tmp_path / "a/about.json")["prompt"] == PROMPT
    assert "asked in the messages of mine.yaml" in capsys.readouterr().out


def test_named_prompts_are_asked_with_and_none_is_recorded_as_none(artefact, asked, uncut):
    for name, messages in asking.NAMED.items():
        assert main([*command(artefact, "humaneval"), "--limit", "1", "--prompt", name]) == 0
        assert files.read_json(Path("scores/artefact/about.json"))["prompt"] == messages
    assert main([*command(artefact, "humaneval"), "--limit", "1"]) == 0
    assert files.read_json(Path("scores/artefact/about.json"))["prompt"] is None
    bare, system, user, complete, (_, own) = asked
    (shown,) = bare
    said = "Output ONLY executable python code."
    assert (system, user) == ([said, shown], [f"{said}\n\n{shown}"])
    assert complete == [f"Complete the following Python function. {said}\n\n{shown}"]
    assert own.endswith(f"Complete this function.\n\n{shown}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "mine.yaml is no file and no prompt's name"),
        ("- {role: user", "mine.yaml is no YAML or JSON"),
        ("{prompt}", "mine.yaml must be a list of messages"),
        ("[]", "mine.yaml must be a list of messages"),
        ("- {role: tool, content: '{prompt}'}", "mine.yaml must be a list of messages"),
        ("- {role: user, content: 3}", "mine.yaml must be a list of messages"),
        ("- {role: user, content: '{prompty}'}", "mine.yaml has no {prompt}"),
        ("- {role: assistant, content: '{prompt}'}", "mine.yaml ends with the role assistant"),
    ],
)
def test_what_is_no_prompt_is_one_line(artefact, tmp_path, capsys, text, reason):
    if text is not None:
        (tmp_path / "mine.yaml").write_text(text)
    assert main(command(artefact, "humaneval", "--prompt", "mine.yaml")) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert reason in err


def test_a_task_that_asks_in_several_ways_keeps_them(artefact, capsys):
    assert main(command(artefact, "humaneval,plans", "--prompt", "bare")) == 2
    assert "ask once for code, and plans does not" in capsys.readouterr().err

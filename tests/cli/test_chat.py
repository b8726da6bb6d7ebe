"""`potstill chat`: through a pipe, and in a terminal of its own with Ctrl-C and Ctrl-D."""

import io
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from contextlib import closing, suppress

import pytest
from potstill import runtime
from potstill.cli.__main__ import main
from potstill.models.chat import ChatTokenizer
from potstill.runtime import Request


@pytest.fixture
def artefact(tiny_gguf):
    return tiny_gguf("llama", "f16")


@pytest.fixture
def chat(artefact, monkeypatch, capsys):
    """Return a function: questions and flags -> exit code, stdout, stderr."""

    def run(text, *flags, folder=artefact):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        code = main(["chat", str(folder), *flags])
        return code, *capsys.readouterr()

    return run


def test_each_line_is_answered_and_the_conversation_is_kept(chat, artefact):
    code, out, err = chat("hello\n\nagain\n", "--system", "Be short.", "--max-tokens", "9")
    tokenizer, model = ChatTokenizer(artefact), runtime.load(artefact)
    messages, want = [{"role": "system", "content": "Be short."}], ""
    for question in ("hello", "again"):
        messages.append({"role": "user", "content": question})
        prompt = tokenizer.encode(tokenizer.render(messages))
        text = model.generate([Request(prompt, 9)])[0].text
        messages.append({"role": "assistant", "content": text})
        want += f"{text}\n"
    model.close()
    assert (code, out) == (0, want)
    assert err.count(" tokens, the first after ") == 2
    assert "tokens/s, cut at --max-tokens" in err


def test_a_seed_repeats_and_another_does_not(chat):
    first, again, other = (
        chat("hello\n", "--temperature", "1.5", "--max-tokens", "30", "--seed", seed)[1]
        for seed in ("1", "1", "2")
    )
    assert first == again != other


def test_a_question_that_does_not_fit_is_said_and_forgotten(chat):
    code, out, err = chat(f"{'long ' * 500}\nhello\n", "--context", "60", "--max-tokens", "4")
    assert code == 0
    assert "60 fit the context" in err
    assert out.endswith("\n")
    assert "4 tokens" in err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [(["--temperature", "-1"], "--temperature is -1"), (["--top-p", "0"], "--top-p is 0"),
     (["--max-tokens", "0"], "--max-tokens is 0"), (["--threads", "0"], "threads is 0")],
)  # fmt: skip
def test_settings_out_of_range_are_one_line(chat, flags, reason):
    code, out, err = chat("hello\n", *flags)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert reason in err


def truncate(folder):
    (folder / "model.gguf").write_bytes((folder / "model.gguf").read_bytes()[:999])


def rename_format(folder):
    path = folder / "artifact.json"
    path.write_text(path.read_text().replace('"gguf"', '"gguff"'))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (shutil.rmtree, "is no folder"),
        (lambda folder: (folder / "artifact.json").unlink(), "artifact.json is missing"),
        (truncate, "has 999 bytes"),
        (rename_format, "unknown format 'gguff'"),
    ],
)
def test_an_artefact_that_cannot_be_used_is_one_line(chat, artefact, tmp_path, damage, reason):
    copy = shutil.copytree(artefact, tmp_path / "copy")
    damage(copy)
    code, out, err = chat("hello\n", folder=copy)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert reason in err


@pytest.fixture
def endless(artefact, tmp_path):
    """Return an artefact that no id stops, with room for minutes."""
    copy = shutil.copytree(artefact, tmp_path / "endless")
    description = json.loads((copy / "artifact.json").read_text())
    changes = {"stop_ids": [], "context": 100_000}
    (copy / "artifact.json").write_text(json.dumps(description | changes))
    return copy


class Terminal:
    """A process in a terminal of its own, ended with the test."""

    def __init__(self, command):
        self.ours, theirs = pty.openpty()
        # where the tests run in the background, a shell made them and their children deaf to Ctrl-C
        apart = ["env", "--default-signal=INT", "setsid", "--ctty", "--wait"]
        self.process = subprocess.Popen(
            [*apart, *command], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.seen = ""

    def until(self, text, seconds=40):
        """Return what is shown up to a text."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, self.seen[-2_000:]
            if select.select([self.ours], [], [], 0.2)[0]:
                self.seen += os.read(self.ours, 4096).decode(errors="replace")
        shown, text, self.seen = self.seen.partition(text)
        return shown + text

    def type(self, text):
        os.write(self.ours, text.encode())

    def interrupt(self, text):
        """Return what is shown up to a text that Ctrl-C brings.

        It is typed again each second: one between a prompt and its read waits for the next key.
        """
        for _ in range(40):
            self.type("\x03")
            with suppress(AssertionError):
                return self.until(text, seconds=1)
        raise AssertionError(self.seen[-2_000:])

    def close(self):
        os.close(self.ours)  # hangs up: the kernel ends what runs there
        self.process.wait(30)


@pytest.mark.skipif(sys.platform != "linux", reason="setsid gives it the terminal")
def test_in_a_terminal_control_c_ends_an_answer_and_control_d_the_program(endless):
    flags = ["--max-tokens", "100000", "--context", "100000", "--threads", "1"]
    command = [sys.executable, "-m", "potstill.cli", "chat", str(endless), *flags]
    with closing(Terminal(command)) as terminal:
        terminal.until("> ")
        terminal.interrupt("Ctrl-D leaves")
        terminal.until("> ")
        terminal.type("hello\n")
        time.sleep(1)
        terminal.interrupt(", stopped")
        terminal.until("> ")
        terminal.type("\x04")
        assert terminal.process.wait(30) == 0

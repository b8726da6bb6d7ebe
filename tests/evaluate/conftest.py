"""A tiny artefact with held-out rows, its real runtime, and one that says what it is told to."""

import contextlib

import pytest
from potstill import files, katas, runtime
from potstill.evaluate import rates, scoring
from potstill.models.chat import ChatTokenizer
from potstill.runtime import Answer
from potstill.tasks import Where

SETTINGS = {
    "sources": {}, "split": "test", "samples": 1, "temperature": 0.0, "max_tokens": {},
    "context": 512, "policy": "edgecoder", "cpu_s": 2.0, "sandbox": "minimum", "threads": 1,
    "seed": 0,
}  # fmt: skip


class Scripted:
    """A runtime that answers by a function of the text it reads: only control flow is tried."""

    def __init__(self, artefact, say):
        self.tokenizer, self.say, self.prompts = ChatTokenizer(artefact).tokenizer, say, []

    def generate(self, requests, *, done=None):
        answers = []
        for place, request in enumerate(requests):
            prompt = self.tokenizer.decode(request.prompt, skip_special_tokens=False)
            self.prompts.append(prompt)
            said = self.say(prompt)
            answers.append(Answer([], *(said if isinstance(said, tuple) else (said, "stop_id"))))
            if done is not None:
                done(place, answers[-1])
        return answers

    def close(self):
        pass


class Bench:
    """Scores tasks on the tiny artefact; without a script by its real runtime."""

    def __init__(self, artefact, prompts):
        self.artefact, self.prompts = artefact, prompts

    def where(self, how=None, teacher=None):
        """Return what problems are read from."""
        how = how or scoring.Settings(**SETTINGS)
        return Where(how.sources, self.prompts, teacher, how.split, how.policy)

    def score(self, asked, say=None, scratch=None, teacher=None, **changes):
        """Return metrics and rows; `runtime` keeps the scripted runtime."""
        how = scoring.Settings(**SETTINGS | changes)
        loaded = Scripted(self.artefact, say) if say else runtime.load(self.artefact, context=512)
        self.runtime = loaded
        with contextlib.closing(loaded):
            where = self.where(how, teacher)
            chat, found = ChatTokenizer(self.artefact), scoring.find(asked, where)
            scores = scoring.score(loaded, chat, asked, found, how, where, scratch=scratch)
        return rates.summary(scores), scores.rows


@pytest.fixture(scope="session")
def held_out(tmp_path_factory):
    """Return a folder of rows: twelve families in both languages, two of each."""
    folder = tmp_path_factory.mktemp("held_out")
    files.write_jsonl(folder / "test.jsonl", katas.instances(0, 2, ["python", "javascript"])[:48])
    return folder


@pytest.fixture
def bench(tiny_gguf, held_out):
    return Bench(tiny_gguf("llama", "f16"), held_out)

"""Rows of all kinds and their table, which several tests read."""

import random

import pyarrow as pa
import pytest
from potstill.models.chat import ChatTokenizer
from potstill.tokens import columns, spans, table
from potstill.tokens.examples import Example

WORDS = ["def", "return", "text", "wrap", "x", "=", "1", "naïve", "日本", "🙂", "\n\n", "while"]


def say(number):
    """Return a row of some length; some are equal, some weighted, some of several turns."""
    source = random.Random(number % 37)
    text = " ".join(source.choices(WORDS, k=source.randint(1, 30)))
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": text[::-1]}]
    if number % 5 == 0:
        turns = [
            {**turn, "weights": {"turn": 0.1}} if n % 2 else turn for n, turn in enumerate(turns)
        ]
        turns += [turns[0], {"role": "assistant", "content": "done", "weights": {"turn": 2.0}}]
    language = {"language": ("python", "javascript")[number % 2]} if number % 3 else {}
    origin = {"origin": ("mined", "teacher", "slip")[number % 3]} if number % 4 else {}
    if origin.get("origin") == "teacher":
        origin["teacher"] = ("large", "small")[number % 2]
    form = {"format": ("code", "plan")[number % 2]}
    return {"messages": turns, "group": f"gruppe {number % 7} é", **language, **origin, **form}


ROWS = [say(number) for number in range(90)]


def in_memory(chat, rows=ROWS):
    texts = [[row.get(name, "") for name in columns.TEXTS] for row in rows]
    found = [(*spans.tokenise(chat, row), *said) for row, said in zip(rows, texts, strict=True)]
    return [Example(tuple(ids), tuple(places), *texts) for ids, places, *texts in found]


@pytest.fixture(scope="module")
def chat(tiny_llama):
    return ChatTokenizer(tiny_llama)


@pytest.fixture(scope="module")
def small_batches():
    """Let a record batch hold few rows, so that some tens make several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "BATCH_IDS", 700)
        yield


@pytest.fixture(scope="module")
def path(chat, small_batches, tmp_path_factory):
    out = tmp_path_factory.mktemp("tables") / "rows.arrow"
    assert table.write(out, ROWS, chat, 512) == {}
    assert pa.ipc.open_file(out).num_record_batches > 3
    return out


@pytest.fixture(scope="module")
def rows(path, chat):
    return table.open(path, chat)

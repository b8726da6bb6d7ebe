"""A table gives back what was written, as the same batches as rows in memory.

Files that are no table are in test_damaged_tables.
"""

import itertools
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from potstill import files
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.tokens import columns, examples, mapping, packing, table
from potstill.tokens.examples import Example

from tests.tokens.conftest import ROWS, in_memory, say

CPU = torch.device("cpu")


def test_rows_are_those_that_were_written(rows, chat):
    want = in_memory(chat)
    assert list(rows) == want  # weights to the last bit
    assert [bytes(key).hex() for key in rows.keys] == [row.key for row in want]
    assert rows.lengths.tolist() == [len(row.ids) for row in want]
    assert rows[-1] == want[-1]
    with pytest.raises(IndexError):
        rows[len(want)]


def test_a_slice_is_the_rows_of_it(rows, chat):
    want = in_memory(chat)
    for part in (slice(7), slice(3, 50, 4), slice(None, None, -1), slice(50, 3), slice(400)):
        assert list(rows[part]) == want[part]
        assert rows[part].lengths.tolist() == [len(row.ids) for row in want[part]]
        assert [bytes(key).hex() for key in rows[part].keys] == [row.key for row in want[part]]
    assert list(rows[10:60][5:9]) == want[15:19]


def test_rows_are_chosen_by_their_texts_in_their_order(rows, chat):
    want = in_memory(chat)[:60]
    wanted = {"origin": ["mined", "slip"], "format": ["plan"]}
    chosen = examples.having(rows[:60], wanted)
    assert list(chosen) == [
        row for row in want if row.origin in ("mined", "slip") and row.format == "plan"
    ]
    assert list(chosen) == examples.having(want, wanted)
    assert 0 < len(chosen) < 60
    named = examples.having(rows, {"teacher": ["", "small"]})
    assert {row.teacher for row in named} == {"", "small"}
    assert "large" in {row.teacher for row in rows}
    assert chosen.lengths.tolist() == [len(row.ids) for row in chosen]
    assert list(examples.having(rows, {})) == list(rows)
    with pytest.raises(
        InputError, match=r"none of 90 rows .*they have .*\['', 'mined', 'slip', 'teacher'\]"
    ):
        examples.having(rows, {"origin": ["minde"]})


def old_order(rows, batch_rows, seed, epoch):
    """The batches as they were when all rows were in memory."""
    source = random.Random(f"{seed}/{epoch}")
    numbers = list(range(len(rows)))
    source.shuffle(numbers)
    batches = []
    for begin in range(0, len(numbers), 16 * batch_rows):
        part = numbers[begin : begin + 16 * batch_rows]
        part = sorted(part, key=lambda number: len(rows[number].ids))
        batches += [part[i : i + batch_rows] for i in range(0, len(part), batch_rows)]
    source.shuffle(batches)
    return batches


def old_by_length(rows, batch_rows):
    ordered = sorted(rows, key=lambda row: (-len(row.ids), row.key))
    return [ordered[i : i + batch_rows] for i in range(0, len(ordered), batch_rows)]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 90),
    batch_rows=st.integers(1, 9),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 3),
)
def test_batches_are_bit_for_bit_those_of_rows_in_memory(
    rows, chat, count, batch_rows, seed, epoch
):
    part, want = rows[:count], in_memory(chat)[:count]
    batches = old_order(want, batch_rows, seed, epoch)
    assert list(examples.order(part, batch_rows, seed, epoch)) == batches
    assert list(examples.order(want, batch_rows, seed, epoch)) == batches
    for one, other in itertools.zip_longest(
        examples.by_length(part, batch_rows), old_by_length(want, batch_rows)
    ):
        assert one == other
    assert list(examples.by_length(want, batch_rows)) == old_by_length(want, batch_rows)
    drawn = [want[i] for batch in old_order(want, 1, seed, 0) for i in batch][:batch_rows]
    expected = [packing.pack(batch) for batch in old_by_length(drawn, 8)]
    for one, other in itertools.zip_longest(
        packing.calibration(part, batch_rows, seed, CPU), expected
    ):
        assert torch.equal(one.ids_1T, other.ids_1T)
        assert torch.equal(one.before_N, other.before_N)
        assert one.runs == other.runs


def test_ordering_makes_no_row_and_a_batch_only_its_own(rows, monkeypatch):
    made = []
    original = table.Table.example
    monkeypatch.setattr(
        table.Table, "example", lambda *given: made.append(given[1]) or original(*given)
    )
    examples.order(rows, 4, 0, 0)
    assert made == []
    stream = examples.by_length(rows, 4)
    next(stream)
    assert len(made) == 4
    packing.calibration(rows, 3, 0, CPU)
    assert len(made) == 7


def mapped_kb(path):
    """Return how much of a file lies in this process, as Linux counts it."""
    text = Path("/proc/self/smaps").read_text(encoding="utf-8")
    entries = re.findall(
        rf"^\S+ \S+ \S+ \S+ \S+ +{re.escape(str(path))}\n(?:.*\n)*?Rss: +(\d+)", text, re.M
    )
    return sum(map(int, entries))


@pytest.mark.parametrize("kept", [1, 1000])
def test_pages_of_rows_that_were_read_do_not_stay_in_the_process(path, chat, monkeypatch, kept):
    monkeypatch.setattr(mapping, "KEPT_ROWS", kept)
    own = shutil.copyfile(path, path.with_name(f"kept{kept}.arrow"))
    rows = table.open(own, chat)
    assert mapped_kb(own) == 0  # though all spans were compared
    assert len(rows.keys) == len(rows.folds) == len(rows)
    assert len(rows.having({"origin": ["mined"]})) > 0
    assert mapped_kb(own) == 0
    want = list(rows)
    assert (mapped_kb(own) > 0) == (kept > len(rows))
    assert list(rows) == want


def test_rows_are_read_only_as_the_batches_are_written(chat, small_batches):
    taken = itertools.count()
    packs = table._pack((say(next(taken)) for _ in range(10**9)), chat, 512, {})
    sizes = [next(packs).num_ids for _ in range(3)]
    assert all(table.BATCH_IDS <= size < table.BATCH_IDS + 512 for size in sizes)
    assert next(taken) < 60


def test_another_tokenizer_is_refused_or_tokenises_the_rows_itself(path, tiny_qwen2, tmp_path):
    other = ChatTokenizer(tiny_qwen2)
    with pytest.raises(InputError, match=r"rows.arrow was made with tokenizer_sha256.*dvc repro"):
        table.open(path, other)
    found, rejected = table.fit(path, other, tmp_path / "own/rows.arrow")
    assert list(found) == in_memory(other)
    assert rejected == {}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("chat_template.jinja", "<|im_start|>", "<|im_start|> "),
        ("tokenizer_config.json", '"bos_token": "<|im_start|>"', '"bos_token": "<|endoftext|>"'),
        ("generation_config.json", '"eos_token_id": ', '"eos_token_id": 1'),
    ],
)
def test_another_template_special_token_or_end_is_another_table(
    path, tiny_llama, tmp_path, name, old, new
):
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    text = (model / name).read_text()
    assert old in text
    (model / name).write_text(text.replace(old, new))
    with pytest.raises(InputError, match="template_sha256"):
        table.open(path, ChatTokenizer(model))


def test_rows_in_the_tables_ids_are_read_where_they_lie(path, chat, rows, tmp_path):
    found, rejected = table.fit(path, chat, tmp_path / "own/rows.arrow")
    assert (list(found), rejected) == (list(rows), {})
    assert files.files_below(tmp_path) == []


def test_tools_and_their_order_are_kept_for_another_tokenizer(tiny_llama, tmp_path):
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    shown = "{% if tools %}{{ tools | tojson }}{% endif %}"
    template = model / "chat_template.jinja"
    template.write_text(shown + template.read_text())
    tools = [{"type": "function", "function": {"name": "z", "arguments": 1, "about": "é"}}]
    row = {**say(1), "tools": tools}
    table.write(tmp_path / "a.arrow", [row], ChatTokenizer(tiny_llama), 512)
    own = ChatTokenizer(model)
    found, _ = table.fit(tmp_path / "a.arrow", own, tmp_path / "b.arrow")
    assert list(found) == in_memory(own, [row])
    assert len(found[0].ids) > len(
        table.open(tmp_path / "a.arrow", ChatTokenizer(tiny_llama))[0].ids
    )


def test_rows_too_long_for_another_tokenizer_are_counted(tiny_checkpoint, chat, tmp_path):
    short = ChatTokenizer(tiny_checkpoint("llama2"))
    pairs = zip(in_memory(short), in_memory(chat), strict=True)
    lengths = [(len(one.ids), len(two.ids)) for one, two in pairs]
    limit = sorted(two for _, two in lengths)[len(lengths) // 2]
    table.write(tmp_path / "a.arrow", ROWS, short, limit)
    found, rejected = table.fit(tmp_path / "a.arrow", chat, tmp_path / "b.arrow")
    kept = [two <= limit for one, two in lengths if one <= limit]
    assert (len(found), rejected) == (sum(kept), {"too_long": kept.count(False)})
    assert 0 < len(found) < len(kept)


def test_no_row_left_is_an_error_that_counts(chat, tmp_path):
    asked = {"messages": ROWS[1]["messages"][:1], "group": "a"}
    with pytest.raises(InputError, match=r"max_length 3 \(1 no_answer, 2 too_long\): raise token"):
        table.write(tmp_path / "a.arrow", [ROWS[0], asked, ROWS[1]], chat, 3)
    with pytest.raises(InputError, match=r"\(no rows\)"):
        table.write(tmp_path / "a.arrow", [], chat, 3)


@pytest.mark.parametrize("name", columns.TEXTS)
def test_a_text_that_is_none_is_an_input_error(chat, tmp_path, name):
    with pytest.raises(InputError, match=f"{name} of a row is 3, not a text"):
        table.write(tmp_path / "a.arrow", [{**ROWS[0], name: 3}], chat, 512)


def test_a_record_batch_gives_back_what_was_packed():
    one = Example((5, 6, 7), ((1, 2, 0.3), (2, 3, 2.0)), "ä")
    none = replace(one, spans=())
    packed = columns.Packed()
    for example in (one, none, one):
        packed.add(example, {"messages": []})
    views = columns.view(packed.batch(columns.SCHEMA))
    assert [views.example(row) for row in range(3)] == [one, none, one]
    assert views.num_answer_tokens == 4

"""Files that are no table, or a damaged one, are refused with the way out, and crash nothing.

What a disk that fails under a mapping does is not tested.
"""

import random

import numpy as np
import pyarrow as pa
import pytest
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.tokens import columns, table


def test_a_file_that_is_missing_empty_foreign_or_cut_is_refused(path, chat, tmp_path):
    wrong = tmp_path / "wrong.arrow"
    with pytest.raises(InputError, match=r"wrong.arrow is missing: run `dvc repro tokenise`"):
        table.open(wrong, chat)
    whole = path.read_bytes()
    cuts = [whole[: len(whole) * part // 16] for part in range(16)]
    for data in (b"ARROW1\0\0", b"PK\3\4" * 99, whole[:-1], whole[8:], b"ARROW1\0\0ARROW1", *cuts):
        wrong.write_bytes(data)
        with pytest.raises(InputError, match=r"wrong.arrow is damaged.*dvc repro tokenise"):
            table.open(wrong, chat)


def rewrite(path, out, change=lambda batch: batch, schema=None):
    """Write a table again with its batches or its schema changed."""
    reader = pa.ipc.open_file(path)
    schema = schema or reader.schema
    with pa.OSFile(str(out), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for number in range(reader.num_record_batches):
            batch = change(reader.get_batch(number))
            writer.write_batch(batch if batch.schema.equals(schema) else batch.cast(schema))
    return out


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("format", "potstill-tokens-0", "has format 'potstill-tokens-0'; 'potstill-tokens-3' is"),
        ("format", None, "has format None"),
        ("max_length", None, "a shorter header"),
        ("max_length", "-3", "has max_length '-3', no number"),
    ],
)
def test_another_version_or_header_is_refused(path, chat, tmp_path, key, value, said):
    schema = pa.ipc.open_file(path).schema
    header = {**schema.metadata, key.encode(): value and value.encode()}
    header = {name: text for name, text in header.items() if text is not None}
    out = rewrite(path, tmp_path / "a.arrow", schema=schema.with_metadata(header))
    with pytest.raises(InputError, match=said):
        table.open(out, chat)


def test_other_columns_and_no_rows_are_refused(path, chat, tmp_path):
    schema = pa.ipc.open_file(path).schema
    wide = schema.set(1, pa.field("ids", pa.list_(pa.int64()), nullable=False))
    with pytest.raises(InputError, match="other columns"):
        table.open(rewrite(path, tmp_path / "a.arrow", schema=wide), chat)
    with pytest.raises(InputError, match="has no rows"):
        table.open(rewrite(path, tmp_path / "b.arrow", lambda batch: batch.slice(0, 0)), chat)


def with_column(name, change):
    """Return a change of a batch that gives one column other offsets and values."""

    def run(batch):
        place, column = batch.schema.get_field_index(name), batch.column(name)
        offsets, values = change(column.offsets.to_numpy().copy(), column.values.to_numpy().copy())
        parts = pa.array(offsets), pa.array(values)
        made = pa.ListArray.from_arrays(*parts, type=batch.schema.field(name).type)
        return batch.set_column(place, batch.schema.field(name), made)

    return run


def put(place, value):
    def run(offsets, values):
        values[place] = value
        return offsets, values

    return run


def move(place, value):
    def run(offsets, values):
        offsets[place] = value
        return offsets, values

    return run


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("ends", put(0, 9_999), "spans lie outside their rows"),
        ("starts", put(0, 0), "spans lie outside their rows"),
        ("starts", put(2, -7), "spans lie outside their rows"),
        ("ends", put(3, 1), "spans lie outside their rows"),
        ("starts", put(1, 5), "spans lie outside their rows"),  # row 0 has two spans
        ("weights", lambda o, v: (np.minimum(o, len(v) - 1), v[:-1]), "spans lack a part"),
        ("ids", move(2, 10**6), "rows.arrow is damaged"),
        ("ids", move(2, -4), "rows.arrow is damaged"),
        ("starts", move(1, 40), "rows.arrow is damaged"),
    ],
)
def test_arrays_that_reach_too_far_are_refused(path, chat, tmp_path, name, change, said):
    out = rewrite(path, tmp_path / "rows.arrow", with_column(name, change))
    with pytest.raises(InputError, match=said):
        table.open(out, chat)


@pytest.mark.parametrize("name", columns.TEXTS)
def test_missing_cells_are_refused(path, chat, tmp_path, name):
    def lose(batch):
        made = pa.array([None, *batch.column(name).to_pylist()[1:]])
        place = batch.schema.get_field_index(name)
        return batch.set_column(place, batch.schema.field(name), made)

    with pytest.raises(InputError, match="cells are missing"):
        table.open(rewrite(path, tmp_path / "rows.arrow", lose), chat)


@pytest.mark.parametrize("wrong", [-1, 509, 2**31 - 1])
def test_ids_of_no_token_are_refused_when_their_row_is_made(path, chat, tmp_path, wrong):
    out = rewrite(path, tmp_path / "rows.arrow", with_column("ids", put(3, wrong)))
    found = table.open(out, chat)
    with pytest.raises(InputError, match="row 0 has ids that are no token's"):
        found[0]
    assert found[1] == table.open(path, chat)[1]


@pytest.mark.parametrize("text", ["{", "3", "[]", '{"tools": []}', ""])
def test_a_row_whose_json_is_wrong_is_refused_when_it_is_read(path, tiny_qwen2, tmp_path, text):
    def spoil(batch):
        made = pa.array([text] * batch.num_rows)
        place = batch.schema.get_field_index("row")
        return batch.set_column(place, batch.schema.field("row"), made)

    out = rewrite(path, tmp_path / "rows.arrow", spoil)
    with pytest.raises(InputError, match="row 0: no JSON"):
        table.fit(out, ChatTokenizer(tiny_qwen2), tmp_path / "own.arrow")


def test_flipped_bytes_are_refused_or_leave_rows_of_the_right_kind(path, chat, tmp_path):
    whole, source = path.read_bytes(), random.Random(0)
    out, refused = tmp_path / "rows.arrow", 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(source.randint(1, 8)):
            data[source.randrange(len(data))] = source.randrange(256)
        out.write_bytes(data)
        try:
            for row in table.open(out, chat):
                assert all(0 <= index < chat.vocab_size for index in row.ids)
                assert all(0 < start < end <= len(row.ids) for start, end, _ in row.spans)
        except InputError:
            refused += 1
    assert 0 < refused < 400

"""The few numbers for the terminal, and what is shown outside the report."""

import csv
import json

import pytest
from potstill.report import figure, gates, headline, shown, tables

from tests.report import fake_tree


def numbers(view):
    return headline.headline(view, gates.judge(view))


def test_at_most_25_short_names_of_finite_numbers(unchanged):
    found = numbers(unchanged)
    assert len(found) <= 25
    assert max(map(len, found)) <= 12
    assert {type(value) for value in found.values()} <= {int, float}
    assert list(json.loads(headline.text(unchanged, gates.judge(unchanged)))) == list(found)


def test_they_are_those_of_the_delivered_export(unchanged):
    found = numbers(unchanged)
    item = unchanged.results.variants["kd-q8_0"]
    assert found["katas"] == round(100 * item.katas.value, 1)
    assert (found["mb"], found["tok_s"]) == (106.9, 170.0)
    assert found["pass"] + found["fail"] + found["not_run"] == len(gates.judge(unchanged))


def test_the_control_is_the_strongest(unchanged):
    found = numbers(unchanged)
    over = unchanged.over_students
    assert found["vs_control"] == round(100 * over["labels_only"].estimate.value, 3)
    assert found["ppl_control"] == round(4.1 / 4.6, 3)


def test_what_was_not_measured_has_no_key(look, tmp_path):
    for path in (tmp_path / "metrics/score").iterdir():
        path.unlink()
    for path in (tmp_path / "data/scores").iterdir():
        path.unlink()
    fake_tree.change(tmp_path / "metrics/export/kd-q8_0.json", "latency", n=0)
    found = numbers(look())
    assert not {"katas", "katas_low", "vs_teacher", "vs_control", "inside", "tok_s"} & set(found)
    assert 0 not in [found[name] for name in ("mb", "ppl", "top1")]


def test_the_plots_files_hold_every_student_and_export(unchanged, tmp_path):
    shown.write(unchanged, tmp_path / "shown")
    rows = {
        path.stem: list(csv.DictReader(path.open())) for path in (tmp_path / "shown").glob("*.csv")
    }
    assert {row["student"] for row in rows["validation_loss"]} == set(unchanged.results.students)
    first = [row for row in rows["validation_loss"] if row["step"] == "0"]
    assert len({row["nats"] for row in first}) == 1  # all begin as the untrained one
    assert len(first) == 3
    assert {row["export"] for row in rows["quality"]} == {v.name for v in unchanged.variants}
    assert all(float(r["low"]) <= float(r["katas"]) <= float(r["high"]) for r in rows["quality"])
    assert sum(int(row["rows"]) for row in rows["rejections"]) == 377
    shown.write(unchanged, tmp_path / "again")
    for path in (tmp_path / "shown").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_the_picture_stands_alone_and_defines_its_colours(unchanged, tmp_path):
    shown.write(unchanged, tmp_path / "shown")
    svg = (tmp_path / "shown/quality.svg").read_text()
    assert svg.startswith("<svg")
    assert "prefers-color-scheme: dark" in svg
    for variable in figure.VARIABLES.values():
        assert f"--{variable}:" in svg


def test_the_short_table_has_six_rows_with_the_delivered_export(unchanged):
    rows = tables.short(unchanged).rows
    assert [row[0] for row in rows] == [
        "teacher-q8_0", "labels_only-q8_0", "kd-q8_0", "kd-onnx_int8", "kd-q4_k_m", "kd-q4_0",
    ]  # fmt: skip


@pytest.mark.parametrize("kept", [["untrained"], []])
def test_a_comparison_without_a_control_or_with_one_is_told_all_the_same(look, kept, tmp_path):
    students = {name: f"{name}-q8_0" for name in ("kd", *kept)}
    wanted = {
        name: gate
        for name, gate in fake_tree.SETTINGS["gates"].items()
        if gate.get("against") in (None, *kept)
    }
    view = look(students=students, gates=wanted)
    found = numbers(view)
    assert ("vs_control" in found) == bool(kept)
    shown.write(view, tmp_path / "shown")
    assert tables.all_tables(view, gates.judge(view))

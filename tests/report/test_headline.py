"""The few numbers for the terminal, and what is shown outside the report."""

import csv
import json

from potstill import files
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
    assert next(iter(found)) == "chores"
    assert found["chores"] == round(100 * item.rate("chores", "pass_at_1").value, 1)
    assert (found["mb"], found["tok_s"]) == (106.9, 170.0)
    assert found["pass"] + found["fail"] + found["not_run"] == len(gates.judge(unchanged))


def test_the_gain_is_the_primary_endpoint_with_its_seeds(unchanged, seeded):
    for view, seeds in ((unchanged, 1), (seeded, 3)):
        found, gain = numbers(view), view.claims[0].found.estimate
        assert (found["gain"], found["seeds"]) == (round(100 * gain.value, 1), seeds)
        assert found["gain_low"] < found["gain"] < found["gain_high"]
    assert numbers(unchanged)["ppl_ctrl"] == round(4.1 / 31.0, 3)


def test_the_first_columns_fit_a_terminal(seeded):
    """`dvc exp show` gives a column the width of its name or number and two spaces."""
    wide = [2 + max(len(name), len(f"{value:g}")) for name, value in numbers(seeded).items()]
    name_of_an_experiment = 29
    shown = list(numbers(seeded))[: list(numbers(seeded)).index("top1")]
    assert {"gain_low", "not_run", "mb", "tok_s", "inside"} <= set(shown)
    assert name_of_an_experiment + sum(wide[: len(shown)]) <= 160


def test_other_tasks_have_a_column_while_there_is_room(look, tmp_path):
    path = tmp_path / "metrics/score/kd-q8_0.json"
    lines = (tmp_path / "data/scores/kd-q8_0.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for number in range(6):
        again = [row | {"task": f"task_{number}"} for row in rows]
        rows += again if number == 0 else []
        fake_tree.change(path, **fake_tree.summary(again, f"task_{number}"))
    fake_tree.write_rows(tmp_path, "kd-q8_0", rows)
    found = numbers(look())
    assert found["task_0"] == found["chores"]
    assert len(found) <= 25


def test_what_was_not_measured_has_no_key(look, tmp_path):
    for path in (tmp_path / "metrics/score").iterdir():
        path.unlink()
    for path in (tmp_path / "data/scores").iterdir():
        path.unlink()
    fake_tree.change(tmp_path / "metrics/export/kd-q8_0.json", "latency", n=0)
    found = numbers(look())
    assert not {"chores", "low", "gain", "seeds", "vs_teach", "inside", "tok_s"} & set(found)
    assert 0 not in [found[name] for name in ("mb", "ppl", "top1")]


def test_the_plots_files_hold_every_student_and_export(unchanged, tmp_path):
    shown.write(unchanged, tmp_path / "shown")
    rows = {
        path.stem: list(csv.DictReader(path.open())) for path in (tmp_path / "shown").glob("*.csv")
    }
    assert {row["student"] for row in rows["validation_loss"]} == set(unchanged.students)
    first = [row for row in rows["validation_loss"] if row["step"] == "0"]
    assert len({row["nats"] for row in first}) == 1  # all begin as the untrained one
    assert len(first) == 3
    assert {row["export"] for row in rows["quality"]} == {v.name for v in unchanged.variants}
    assert all(float(r["low"]) <= float(r["rate"]) <= float(r["high"]) for r in rows["quality"])
    assert sum(int(row["rows"]) for row in rows["rejections"]) == 377
    shown.write(unchanged, tmp_path / "again")
    for path in (tmp_path / "shown").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_every_export_is_one_flat_object_that_says_what_the_metrics_say(unchanged, flags, tmp_path):
    shown.write(unchanged, tmp_path / "shown")
    objects = files.read_json(tmp_path / "shown/results.json")
    assert [one["name"] for one in objects] == [item.name for item in unchanged.variants]
    for one in objects:
        assert {type(value) for value in one.values()} <= {str, int, float}
        metrics = files.read_json(flags["metrics_in"] / f"score/{one['name']}.json")
        shared = {key for key in metrics.keys() & one.keys() if "." in key}
        assert {key: one[key] for key in shared} == {key: metrics[key] for key in shared}
        rates = {key.removesuffix(".low") for key in shared if key.endswith(".low")}
        assert all(one[f"{k}.low"] <= one[k] <= one[f"{k}.high"] for k in rates)
    teacher, *others = objects
    assert teacher["role"] == "teacher"
    assert "steps" not in teacher
    assert {one["role"] for one in others} == {"student", "labels_only", "untrained"}
    kd = next(one for one in others if one["name"] == "kd-q8_0")
    assert kd["chores.pass_at_1"] == unchanged.item.rate("chores", "pass_at_1").value
    assert kd["steps"] > 0
    assert any(key.endswith(".reason") for one in objects for key in one)


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
        "teacher_adapted-q8_0", "untrained-q8_0", "kd-q8_0", "kd-onnx_int8", "kd-q4_k_m", "kd-q4_0",
    ]  # fmt: skip


def test_a_comparison_with_one_control_is_told_all_the_same(look, tmp_path):
    for path in tmp_path.rglob("labels_only-q8_0"):
        path.rename(tmp_path / "elsewhere")
    students = {name: f"{name}-q8_0" for name in ("kd", "untrained")}
    wanted = {
        name: gate
        for name, gate in fake_tree.SETTINGS["gates"].items()
        if gate.get("against") in (None, "untrained")
    }
    view = look(students=students, gates=wanted)
    assert "gain" in numbers(view)
    shown.write(view, tmp_path / "shown")
    assert tables.all_tables(view, gates.judge(view))

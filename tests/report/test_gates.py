"""What was not measured never passes, and no gate vanishes."""

import json
from dataclasses import replace

import pytest
from potstill.errors import InputError
from potstill.report import gates

from tests.report.conftest import read
from tests.report.fake_tree import (
    SEEDED,
    SETTINGS,
    change,
    not_run,
    rescore,
    write_test_rows,
    write_tree,
)


def states(verdicts, gate):
    return {verdict.subject: verdict.state for verdict in verdicts if verdict.gate == gate}


def reason(verdicts, gate, subject):
    return next(v.reason for v in verdicts if (v.gate, v.subject) == (gate, subject))


def rewrite_rows(path, change_row):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row | change_row(row)) + "\n" for row in rows))


def test_every_gate_judges_each_of_its_subjects_once(look):
    verdicts = gates.judge(look())
    assert len({(v.gate, v.subject) for v in verdicts}) == len(verdicts)
    assert list(dict.fromkeys(v.gate for v in verdicts)) == list(SETTINGS["gates"])
    assert len(states(verdicts, "parity")) == 8
    assert set(states(verdicts, "quantisation_drop")) == {
        "kd-q8_0", "kd-q4_k_m", "kd-q4_0", "kd-onnx_int8",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "bound", "expected"),
    [
        (1.0, {"below": 1.0}, "fail"),
        (0.999, {"below": 1.0}, "pass"),
        (1.0, {"at_most": 1.0}, "pass"),
        (1.001, {"at_most": 1.0}, "fail"),
        (1.0, {"above": 1.0}, "fail"),
        (1.001, {"above": 1.0}, "pass"),
        (1.0, {"at_least": 1.0}, "pass"),
        (0.999, {"at_least": 1.0}, "fail"),
    ],
)
def test_bounds_mean_what_they_say(look, value, bound, expected):
    view = look(gates={"size": {"measure": "size_mb"} | bound})
    for item in list(view.results.variants.values()):
        view.results.variants[item.name] = replace(item, size_bytes=round(value * 1e6))
    assert set(states(gates.judge(view), "size").values()) == {expected}


def test_a_difference_of_students_needs_three_seeds(look, seeded):
    of_students = ("perplexity_below_labels_only", "perplexity_below_untrained", "above_untrained")
    for verdicts, state in ((gates.judge(look()), "not-run"), (gates.judge(seeded), "pass")):
        for gate in of_students:
            assert set(states(verdicts, gate).values()) == {state}
    verdicts = gates.judge(look())
    said = reason(verdicts, "above_untrained", "kd minus untrained")
    assert said.startswith("one training seed of the three that are needed; measured +")


@pytest.fixture
def many(tmp_path):
    """A tree of three seeds in the test's own folder, and a function that reads it."""
    flags = write_tree(tmp_path, seeds=3)
    return lambda **changes: read(flags, **SEEDED | changes)


def test_the_students_perplexity_is_held_against_each_control(many, tmp_path):
    for name in ("labels_only", "labels_only-s1", "labels_only-s2"):
        write_test_rows(tmp_path, name, 4.1)
    verdicts = gates.judge(many())
    assert states(verdicts, "perplexity_below_labels_only") == {"kd over labels_only": "fail"}
    assert states(verdicts, "perplexity_below_untrained") == {"kd over untrained": "pass"}


def test_a_ratio_whose_interval_reaches_one_does_not_pass(many, tmp_path):
    def sway(amount):
        for name in ("labels_only", "labels_only-s1", "labels_only-s2"):
            write_test_rows(tmp_path, name, 4.6)
            rewrite_rows(
                tmp_path / f"data/training/{name}/test.jsonl",
                lambda row: {
                    "nll_nats": row["nll_nats"] * (1 + amount * (-1) ** int(row["group"][6:]))
                },
            )

    sway(0.01)
    verdicts = gates.judge(many())
    assert states(verdicts, "perplexity_below_labels_only") == {"kd over labels_only": "pass"}
    sway(0.4)
    verdicts = gates.judge(many())
    assert states(verdicts, "perplexity_below_labels_only") == {"kd over labels_only": "fail"}
    assert "n\N{NO-BREAK SPACE}120" in reason(
        verdicts, "perplexity_below_labels_only", "kd over labels_only"
    )


@pytest.mark.parametrize("text", ["", '{"id": "x", "group": "g", "nll_nats": 1.0, "tokens": 2}'])
def test_other_test_rows_never_pass(look, tmp_path, text):
    (tmp_path / "data/training/labels_only/test.jsonl").write_text(text)
    verdicts = gates.judge(look())
    assert states(verdicts, "perplexity_below_labels_only") == {"kd over labels_only": "not-run"}
    assert "different" in reason(verdicts, "perplexity_below_labels_only", "kd over labels_only")


def test_an_interval_that_reaches_zero_does_not_pass(many, tmp_path):
    rows = (tmp_path / "data/scores/kd-q8_0.jsonl").read_text()
    (tmp_path / "data/scores/untrained-q8_0.jsonl").write_text(rows)
    verdicts = gates.judge(many())
    assert states(verdicts, "above_untrained") == {"kd minus untrained": "fail"}


def test_without_scores_or_common_problems_there_is_no_difference_to_pass(many, tmp_path):
    scores = tmp_path / "data/scores/untrained-q8_0.jsonl"
    rewrite_rows(scores, lambda row: {"id": f"other-{row['id']}"})
    verdicts = gates.judge(many())
    assert states(verdicts, "above_untrained") == {"kd minus untrained": "not-run"}
    assert "tried different" in reason(verdicts, "above_untrained", "kd minus untrained")
    scores.unlink()
    verdicts = gates.judge(many())
    assert states(verdicts, "above_untrained") == {"kd minus untrained": "not-run"}
    assert "0 rows of 200" in reason(verdicts, "above_untrained", "kd minus untrained")


def test_a_task_that_was_not_run_decides_nothing_and_says_why(many, tmp_path):
    change(tmp_path / "metrics/score/kd-q8_0.json", **not_run("chores", 200))
    verdicts = gates.judge(many())
    for gate, subject in (
        ("above_untrained", "kd minus untrained"),
        ("quantisation_drop", "kd-q8_0"),
        ("inside_subset", "kd-q8_0"),
    ):
        assert states(verdicts, gate)[subject] == "not-run"
        assert "26.7% of the answers were cut off" in reason(verdicts, gate, subject)
    assert states(verdicts, "inside_subset")["kd-q4_0"] == "pass"


def test_a_drop_beyond_the_bound_fails(look):
    assert states(gates.judge(look()), "quantisation_drop")["kd-q4_0"] == "fail"


def test_a_drop_is_judged_by_the_end_that_speaks_against_the_export(look):
    view = look()
    drop = -view.claims[-1].found.estimate.value  # that of one export, the point
    name = view.claims[-1].first
    assert drop > 0
    just_above = {"measure": "drop_high", "task": "chores", "of": "pass_at_1"}
    for bound, state in ((drop + 0.001, "fail"), (0.99, "pass")):
        gate = just_above | {"at_most": bound}
        assert states(gates.judge(look(gates={"drop": gate})), "drop")[name] == state


def test_equal_answers_to_few_problems_do_not_show_that_nothing_is_lost(look, tmp_path):
    for name in ("kd-f16", "kd-q8_0"):
        rescore(tmp_path, name, keep=10)
    gate = {"measure": "drop_high", "task": "chores", "of": "pass_at_1", "at_most": 0.1}
    verdicts = gates.judge(look(gates={"drop": gate}))
    assert states(verdicts, "drop")["kd-q8_0"] == "fail"


def test_a_baseline_that_solves_nothing_has_nothing_to_lose(look, tmp_path):
    rescore(tmp_path, "kd-f16", lambda row: {"passed": False})
    rescore(tmp_path, "kd-q4_0", lambda row: {"passed": False})
    verdicts = gates.judge(look())
    assert set(states(verdicts, "quantisation_drop").values()) == {"not-run"}
    assert "nothing to lose" in reason(verdicts, "quantisation_drop", "kd-q8_0")
    assert "nothing to compare" in reason(verdicts, "quantisation_drop", "kd-q4_0")


def test_a_missing_baseline_never_passes(look, tmp_path):
    (tmp_path / "data/scores/kd-f16.jsonl").unlink()
    verdicts = gates.judge(look())
    assert set(states(verdicts, "quantisation_drop").values()) == {"not-run"}


@pytest.mark.parametrize(
    "gate",
    [
        {"measure": "rate", "task": "chores", "of": "inside_subset", "at_least": 0.0},
        {"measure": "rate", "task": "chores", "of": "malformed", "at_most": 1.0},
        {"measure": "drop_high", "task": "chores", "of": "pass_at_1", "at_most": 1.0},
        {"measure": "parity", "at_least": 0.0},
        {"measure": "size_mb", "above": -1.0},
    ],
)
def test_a_bound_that_no_outcome_could_fail_decides_nothing(look, gate):
    verdicts = gates.judge(look(gates={"idle": gate}))
    assert set(states(verdicts, "idle").values()) == {"not-run"}
    assert {v.reason for v in verdicts} == {"no outcome could fail this bound"}


def test_parity_keeps_its_three_states_and_its_reason(look, tmp_path):
    folder = tmp_path / "metrics/export"
    change(folder / "kd-q4_0.json", "parity", verdict="fail", reason="top-1 agreement too low")
    change(folder / "kd-onnx_int8.json", parity={"verdict": "not-run", "reason": "no runtime"})
    verdicts = gates.judge(look())
    found = states(verdicts, "parity")
    assert (found["kd-f16"], found["kd-q4_0"]) == ("pass", "fail")
    assert found["kd-onnx_int8"] == "not-run"
    assert reason(verdicts, "parity", "kd-onnx_int8") == "no runtime"


def test_size_memory_and_subset_that_were_not_measured_never_pass(look, tmp_path):
    change(tmp_path / "metrics/export/kd-q4_0.json", bytes=0)
    change(tmp_path / "metrics/export/kd-q4_k_m.json", "latency", peak_rss_mb=0.0)
    change(tmp_path / "metrics/export/kd-q4_0.json", latency={"n": 0})
    change(tmp_path / "metrics/score/kd-q4_0.json", **{"chores.n": 0})
    rescore(tmp_path, "kd-f16", lambda row: {"inside_subset": False})
    (tmp_path / "metrics/score/kd-onnx_int8.json").unlink()
    verdicts = gates.judge(look())
    assert states(verdicts, "size")["kd-q4_0"] == "not-run"
    assert states(verdicts, "memory")["kd-q4_k_m"] == "not-run"
    assert states(verdicts, "memory")["kd-q4_0"] == "not-run"
    assert states(verdicts, "inside_subset")["kd-q4_0"] == "not-run"
    assert states(verdicts, "inside_subset")["kd-onnx_int8"] == "not-run"
    assert states(verdicts, "inside_subset")["kd-f16"] == "fail"
    assert all(v.reason for v in verdicts if v.state == "not-run")


def test_a_rate_of_few_rows_decides_nothing(look, tmp_path):
    of = {"task": "chores", "min_n": 61}
    asked = {"measure": "rate", "of": "inside_subset", "at_least": 0.95} | of
    drop = {"measure": "drop_high", "of": "pass_at_1", "at_most": 0.1} | of
    verdicts = gates.judge(look(gates={"inside": asked, "drop": drop}))
    inside = states(verdicts, "inside")
    assert (inside["kd-q8_0"], inside["kd-f16"], inside["kd-q4_0"]) == (
        "pass",
        "not-run",
        "not-run",
    )
    assert set(states(verdicts, "drop").values()) == {"not-run"}
    assert reason(verdicts, "inside", "kd-f16") == "n 60; the gate asks for 61"
    verdicts = gates.judge(look(gates={"inside": asked | {"min_n": 60}}))
    assert set(states(verdicts, "inside").values()) == {"pass"}


def test_a_gate_without_subjects_is_not_run(look, tmp_path):
    for name in ("q8_0", "q4_k_m", "q4_0", "onnx_int8"):
        (tmp_path / f"models/artefacts/kd-{name}/artifact.json").unlink()
        (tmp_path / f"models/artefacts/kd-{name}").rmdir()
    students = SETTINGS["students"] | {"kd": "kd-f16"}
    verdicts = gates.judge(look(students=students))
    assert states(verdicts, "quantisation_drop") == {"-": "not-run"}


def test_the_smallest_passing_export_passes_all_gates_about_it(look, tmp_path):
    view = look()
    verdicts = gates.judge(view)
    good = [item.name for item in gates.passing(view, verdicts)]
    assert "kd-f16" not in good  # larger than the budget
    assert good[-1] == "kd-q4_k_m"  # kd-q4_0 is smaller and loses too much
    change(tmp_path / "metrics/export/kd-q4_k_m.json", "parity", verdict="not-run", reason="x")
    view = look()
    assert "kd-q4_k_m" not in [v.name for v in gates.passing(view, gates.judge(view))]


def test_an_export_that_no_gate_is_about_does_not_pass(look):
    view = look(gates={"p": SETTINGS["gates"]["perplexity_below_untrained"]})
    assert gates.passing(view, gates.judge(view)) == []


def test_a_stop_names_what_did_not_pass(look):
    view = look(on_failure="stop")
    verdicts = gates.judge(view)
    with pytest.raises(InputError, match=r"5 of 30 gates .* size of kd-f16 \(fail\)"):
        gates.stop_unless_passed(verdicts, view.settings)
    passed = [verdict for verdict in verdicts if verdict.state == "pass"]
    gates.stop_unless_passed(passed, view.settings)
    gates.stop_unless_passed(verdicts, look().settings)

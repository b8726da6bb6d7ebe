"""What is missing, what was not measured and what is no number are three different things."""

import json

import pytest
from potstill.errors import InputError
from potstill.evaluate import code, form, loop, rates
from potstill.evaluate.scoring import Scores
from potstill.report import load
from potstill.report.results import PAIRED

from tests.report.fake_tree import SETTINGS, change, not_run, write_json, write_rows


def test_numbers_arrive_as_they_were_written(look, tmp_path):
    results = look().results
    assert results.runs["kd"].perplexity.value == 4.1
    assert [step for step, _ in results.runs["kd"].history.validation] == [20, 40]
    assert results.runs["untrained"].history.losses == []
    assert results.variants["kd-q4_0"].size_bytes == 61_112_332
    assert results.variants["kd-q4_0"].latency.tokens_per_s == 219.0
    assert results.variants["kd-q4_0"].rate("essays", "pass_at_1") is None
    assert results.curated.rejected["tests_failed"] == 171
    assert ("Revision", "0.1.2") in results.lineage


def test_keys_that_nobody_asks_for_do_not_matter(look, tmp_path):
    before = look().results
    change(tmp_path / "metrics/distill/kd.json", new_key=float("nan"), other="x")
    assert look().results == before


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("fetch_model/smollm2", "revision"),
        ("curate", "num_in"),
        ("build_vocabulary", "test_kept_share"),
        ("cache_logits/adapted", "bytes_per_token"),
        ("distill/kd", "test_perplexity_low"),
        ("export/kd-f16", "bytes"),
        ("export/kd-f16", "parity"),
        ("score/kd-f16", "chores.pass_at_1.high"),
        ("score/kd-f16", "chores.inside_subset"),
        ("score/kd-f16", "chores.n"),
        ("export/kd-f16", "latency"),
    ],
)
def test_a_missing_key_is_named_with_its_file(look, tmp_path, file, key):
    change(tmp_path / f"metrics/{file}.json", **{key: None})
    with pytest.raises(InputError, match=rf"{file}\.json has no {key}"):
        look()


@pytest.mark.parametrize(("part", "key"), [("parity", "verdict"), ("latency", "peak_rss_mb")])
def test_a_missing_key_is_named_with_its_part(look, tmp_path, part, key):
    change(tmp_path / "metrics/export/kd-f16.json", part, **{key: None})
    with pytest.raises(InputError, match=rf"export/kd-f16\.json: {part} has no {key}"):
        look()


@pytest.mark.parametrize("value", [3, "x", []])
def test_a_part_that_is_no_object_is_named(look, tmp_path, value):
    change(tmp_path / "metrics/export/kd-f16.json", parity=value)
    with pytest.raises(
        InputError, match=r"export/kd-f16\.json: parity is a \w+, not a JSON object"
    ):
        look()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "4.1", True, [4.1]])
@pytest.mark.parametrize("file", ["distill/kd", "score/kd-q8_0"])
def test_what_is_no_number_is_named_with_its_file(look, tmp_path, file, value):
    key = {"distill/kd": "test_perplexity", "score/kd-q8_0": "chores.pass_at_1"}[file]
    change(tmp_path / f"metrics/{file}.json", **{key: value})
    with pytest.raises(InputError, match=rf"{file}\.json: {key} is"):
        look()


@pytest.mark.parametrize(
    "path",
    [
        "metrics/curate.json",
        "metrics/distill/labels_only.json",
        "data/training/labels_only/history.csv",
        "data/training/teacher_adapted/test.jsonl",
        "models/artefacts/kd-f16/artifact.json",
    ],
)
def test_a_missing_file_is_named(look, tmp_path, path):
    (tmp_path / path).unlink()
    with pytest.raises(InputError, match=f"{path} is missing"):
        look()


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_file_that_is_no_json_object_is_named(look, tmp_path, text):
    (tmp_path / "metrics/export/kd-q4_0.json").write_text(text)
    with pytest.raises(InputError, match=r"export/kd-q4_0\.json"):
        look()


def test_a_variant_without_scores_and_runtime_is_kept_as_not_measured(look, tmp_path):
    (tmp_path / "metrics/score/kd-q4_0.json").unlink()
    absent = {"verdict": "not-run", "reason": "no runtime"}
    change(tmp_path / "metrics/export/kd-q4_0.json", parity=absent, latency={"n": 0})
    (tmp_path / "data/scores/kd-q4_0.jsonl").unlink()
    variant = look().results.variants["kd-q4_0"]
    assert (variant.scores, variant.latency) == ({}, None)
    assert variant.why_not("chores") == "it was not tried"
    assert (variant.parity.verdict, variant.parity.reason) == ("not-run", "no runtime")


def test_no_problems_and_no_runs_are_not_measured(look, tmp_path):
    change(tmp_path / "metrics/score/kd-q4_0.json", **{"chores.n": 0, "chores.pass_at_1": 0.0})
    change(tmp_path / "metrics/export/kd-q4_0.json", "latency", n=0, tokens_per_s_p50=0.0)
    variant = look().results.variants["kd-q4_0"]
    assert (variant.rate("chores", "pass_at_1"), variant.latency) == (None, None)
    assert variant.why_not("chores") == "no problems were tried"


def test_an_unknown_verdict_is_refused(look, tmp_path):
    change(tmp_path / "metrics/export/kd-f16.json", "parity", verdict="ok")
    with pytest.raises(InputError, match="'ok'; allowed: pass, fail, not-run"):
        look()


def test_no_test_rows_is_an_error(look, tmp_path):
    change(tmp_path / "metrics/distill/kd.json", test_rows=0)
    with pytest.raises(InputError, match=r"kd\.json: no test rows"):
        look()


@pytest.mark.parametrize("value", [0.0, -1.0, 0.99])
def test_an_impossible_perplexity_is_named(look, tmp_path, value):
    change(tmp_path / "metrics/distill/untrained.json", test_perplexity=value)
    with pytest.raises(InputError, match=r"untrained\.json: test_perplexity is .* at least 1"):
        look()


@pytest.mark.parametrize("text", ["{}", '{"files": []}', '{"files": {"a": {}}}'])
def test_an_artefact_without_hashes_is_named(look, tmp_path, text):
    (tmp_path / "models/artefacts/kd-q4_0/artifact.json").write_text(text)
    with pytest.raises(InputError, match=r"kd-q4_0/artifact\.json"):
        look()


@pytest.mark.parametrize("row", ['{"id": "x"}', "nonsense", '["id"]'])
def test_a_bad_score_row_is_named_with_its_line(look, tmp_path, row):
    path = tmp_path / "data/scores/kd-q8_0.jsonl"
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(InputError, match=r"kd-q8_0\.jsonl line 201"):
        look()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"id": "x", "group": "g", "nll_nats": 1.0}', "lacks tokens"),
        ('{"id": "x", "group": "g", "nll_nats": NaN, "tokens": 3}', "row x: nll_nats is nan"),
        ('{"id": "x", "group": "g", "nll_nats": 1.0, "tokens": 0}', "row x: tokens is 0"),
    ],
)
def test_a_bad_test_row_is_named(look, tmp_path, row, message):
    (tmp_path / "data/training/kd/test.jsonl").write_text(row)
    with pytest.raises(InputError, match=rf"kd/test\.jsonl.*{message}"):
        look()


@pytest.mark.parametrize("cell", ["nan", "", "x"])
def test_a_bad_cell_of_a_history_is_named_with_its_step(tmp_path, cell):
    path = tmp_path / "kd.csv"
    path.write_text(f"step,ce,validation_nll\n1,2.0,\n2,{cell},\n")
    with pytest.raises(InputError, match=r"ce is .* at step 2"):
        load.read_history(path)


def test_a_history_without_its_columns_is_refused(tmp_path):
    (tmp_path / "kd.csv").write_text("")
    with pytest.raises(InputError, match="has no column step, ce, validation_nll"):
        load.read_history(tmp_path / "kd.csv")


def test_a_task_that_was_not_run_has_its_reason_and_no_number(look, tmp_path):
    path = tmp_path / "metrics/score/kd-q8_0.json"
    change(path, **not_run("chores", 200))  # the rates are still in the file
    score = look().results.variants["kd-q8_0"].scores["chores"]
    assert (score.measures, score.rows) == ({}, [])
    assert "cut off" in score.reason
    change(path, **{"chores.reason": None})
    with pytest.raises(InputError, match=r"kd-q8_0\.json has no chores\.reason"):
        look()
    change(path, **{"chores.verdict": "perhaps"})
    with pytest.raises(InputError, match="'perhaps'; allowed: run, not-run"):
        look()


@pytest.mark.parametrize("keep", [0, 199])
def test_rows_that_are_missing_make_a_task_not_run(look, tmp_path, keep):
    path = tmp_path / "data/scores/kd-q8_0.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:keep]))
    variant = look().results.variants["kd-q8_0"]
    assert variant.why_not("chores") == f"{keep} rows of 200: run score again"
    assert variant.rate("chores", "pass_at_1") is None


@pytest.mark.parametrize("value", [float("nan"), None, 1, "true"])
def test_a_verdict_that_is_none_is_named_with_its_row(look, tmp_path, value):
    path = tmp_path / "data/scores/kd-q8_0.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps(json.loads(first) | {"passed": value}) + "\n" + "".join(others))
    with pytest.raises(InputError, match=r"kd-q8_0\.jsonl: row chore-0: passed is"):
        look()


def test_it_reads_what_the_scoring_itself_writes(look, tmp_path):
    """The metrics of `score`, made by its own code from the rows of the tree, at both ends."""
    path = tmp_path / "data/scores/kd-q8_0.jsonl"
    rows = [json.loads(line) | {"repeats": False} for line in path.read_text().splitlines()]
    for cut, reason in ((0, ""), (5, "cut off at 64 tokens")):
        for row in rows[:cut]:
            row["hit_limit"] = True
        write_rows(tmp_path, "kd-q8_0", rows)
        facts = {
            "chores": {"method": "code", "max_tokens": 64},
            "essays": {"reason": "no source was given"},
        }
        metrics = rates.summary(Scores(rows, facts))
        write_json(tmp_path / "metrics/score/kd-q8_0.json", metrics)
        variant = look().results.variants["kd-q8_0"]
        assert reason in variant.why_not("chores")
        assert variant.why_not("essays") == "no source was given"
        found = variant.rate("chores", "pass_at_1")
        assert (found is None) == bool(cut)
        if found:
            assert found.value == sum(row["passed"] for row in rows) / 200
            assert variant.scores["chores"].measures["pass_at_1[level=2]"].n == 50
    measures = code.MEASURES | form.MEASURES | loop.MEASURES | {"hit_limit": ("hit_limit",)}
    assert PAIRED.items() <= measures.items()


def test_a_part_of_a_task_has_its_own_count(look):
    measures = look().results.variants["kd-q8_0"].scores["chores"].measures
    assert (measures["pass_at_1"].n, measures["pass_at_1[level=2]"].n) == (200, 50)


def test_the_owner_of_every_checkpoint_is_known(look, tmp_path):
    path = tmp_path / "metrics/export/kd-q4_0.json"
    change(path, checkpoint="compressed/kd-awq")
    with pytest.raises(InputError, match=r"export\.kd-q4_0 is made of compressed/kd-awq, which is"):
        look()


def test_no_checkpoint_plays_two_roles(look, tmp_path):
    students = SETTINGS["students"] | {"labels_only": "kd-q4_0"}
    with pytest.raises(InputError, match="kd and labels_only are both scored through students/kd"):
        look(students=students)
    with pytest.raises(InputError, match="kd and kd are both"):
        look(students=SETTINGS["students"] | {"kd": ["kd-q8_0", "kd-q4_0"]})
    with pytest.raises(InputError, match="teacher and kd are both"):
        look(students=SETTINGS["students"] | {"kd": "kd-q8_0"}, teacher="kd-q4_0")
    with pytest.raises(InputError, match=r"baseline: untrained-q8_0 is made of students/untr"):
        look(baseline="untrained-q8_0")


def test_the_tree_of_these_tests_is_json_as_the_stages_write_it(flags):
    for path in (flags["metrics_in"] / "score").glob("*.json"):
        json.dumps(json.loads(path.read_text()), allow_nan=False)


def test_a_student_that_goes_on_from_another_is_led_back_to_its_start(look, tmp_path):
    change(tmp_path / "metrics/distill/kd.json", start="students/labels_only")
    assert dict(look().results.lineage)["Student begins as"] == "teacher_adapted"

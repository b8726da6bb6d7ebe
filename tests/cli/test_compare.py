"""`potstill compare`: pairs, the exact test against scipy, and everything that can be named."""

import json
import random

import pytest
from potstill import statistics
from potstill.cli import compare, paired
from potstill.cli.__main__ import main
from potstill.errors import InputError
from scipy import stats

from tests.tiny_project import call


def rows(passed, task="katas", families=None):
    """Return a row a letter: "1" passed, "0" did not, " " was not tried."""
    return [
        {"task": task, "id": f"{task}-{n}", "passed": letter == "1",
         "family": families[n] if families else f"f{n}"}
        for n, letter in enumerate(passed)
        if letter != " "
    ]  # fmt: skip


def write(path, found):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 9), (40, 61), (400, 300)])
def test_mcnemar_is_scipys_binomial_test(first, second):
    n = first + second
    want = stats.binomtest(first, n, 0.5).pvalue if n else 1.0
    assert statistics.mcnemar(first, second) == pytest.approx(want, rel=1e-9)
    assert statistics.mcnemar(second, first) == statistics.mcnemar(first, second)


def test_a_count_below_zero_is_refused():
    with pytest.raises(ValueError, match="are not counts"):
        statistics.mcnemar(-1, 3)


def test_problems_are_paired_by_id_in_any_order():
    first, second = rows("110010"), rows("100111")
    random.Random(0).shuffle(second)
    (got,) = paired.compare(first, second)
    assert (got.n, got.both, got.first, got.second, got.left_out) == (6, 2, 3, 4, 0)
    assert (got.only_first, got.only_second) == (["katas-1"], ["katas-3", "katas-5"])
    assert got.p == 1.0
    assert got.difference.value == pytest.approx(-1 / 6)
    (other,) = paired.compare(second, first)
    assert other.difference.value == pytest.approx(1 / 6)


def test_families_are_resampled_not_rows():
    passed = "1" * 20 + "0" * 20
    alike = ["a"] * 20 + ["b"] * 20
    (by_rows,) = paired.compare(rows(passed), rows("0" * 40))
    (by_family,) = paired.compare(rows(passed, families=alike), rows("0" * 40, families=alike))
    assert by_family.difference.low == 0 < by_rows.difference.low
    (one,) = paired.compare(rows("10", families="aa"), rows("01", families="aa"))
    assert one.difference is None


def test_samples_of_one_problem_are_told_apart():
    first = [row | {"sample": n} for n in range(2) for row in rows("1")]
    (got,) = paired.compare(first, first[:1])
    assert (got.n, got.left_out) == (1, 1)


def test_only_what_both_tried_counts_and_it_is_said(tmp_path, capsys):
    a = write(tmp_path / "a.jsonl", [*rows("1100"), *rows("1", "humaneval")])
    b = write(tmp_path / "b.jsonl", rows("0 001"))
    assert main(["compare", str(a), str(b), "--items"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:7] == ["katas", "3", "1", "0", "0", "1", "0"]
    assert lines[3:] == [
        "katas: 2 problems that only one of them tried are left out",
        "katas only A: katas-0",
    ]


def test_answers_that_were_cut_are_said(tmp_path, capsys):
    a = write(tmp_path / "a.jsonl", [row | {"hit_limit": True} for row in rows("010")])
    b = write(tmp_path / "b.jsonl", rows("110"))
    assert main(["compare", str(a), str(b)]) == 0
    assert capsys.readouterr().out.splitlines()[3:] == [
        "katas: the cap cut off 3 answers of A and 0 of B; they count as not passed"
    ]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (rows("11"), rows("11", "humaneval"), "no problem in common: the first tried 2 of katas"),
        (rows("1 "), rows(" 1"), "no problem in common"),
        ([], rows("1"), "the first tried nothing"),
        (rows("1") * 2, rows("1"), "the first has the problem katas-0 twice"),
        (rows("1"), rows("1", families="x"), "katas-0 is of two families"),
    ],
)
def test_what_cannot_be_paired_is_one_line(first, second, reason):
    with pytest.raises(InputError, match=reason):
        paired.compare(first, second)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data/scores/kd-q8_0.jsonl", rows("110"))
    write(tmp_path / "mine/rows.jsonl", rows("100"))
    (tmp_path / "artefact").mkdir()
    (tmp_path / "artefact/artifact.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "metrics.json").write_text('{\n"katas_n": 3}')
    write(tmp_path / "other.jsonl", [{"task": "write a function", "tests": []}])
    return tmp_path


def test_a_folder_a_file_and_a_name_are_taken(tree, capsys):
    for name in ("mine", "mine/rows.jsonl"):
        assert main(["compare", "kd-q8_0", name]) == 0
        assert capsys.readouterr().out.splitlines()[2].split()[:4] == ["katas", "3", "2", "1"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("artefact", "artefact is an artefact: `potstill score artefact` first"),
        ("empty", "holds no rows.jsonl"),
        ("metrics.json", "metrics.json line 1 is not JSON"),
        ("other.jsonl", "other.jsonl line 1 lacks id"),
        ("kd-q8", "no scored export of this checkout (kd-q8_0)"),
    ],
)
def test_what_was_not_scored_is_one_line_on_either_side(tree, capsys, name, reason):
    for command in (["compare", name, "mine"], ["compare", "mine", name]):
        assert main(command) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert reason in err


@pytest.mark.slow
def test_revisions_and_experiments_are_read_out_of_the_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    call(tmp_path, "git", "init", "-q", "-b", "main")
    call(tmp_path, "dvc", "init", "-q")
    for step, passed in enumerate(("1100", "1111", "0000")):
        write(tmp_path / "data/scores/kd.jsonl", rows(passed))
        call(tmp_path, "dvc", "add", "-q", "data/scores/kd.jsonl")
        if step == 1:
            call(tmp_path, "dvc", "exp", "save", "-n", "better")
        else:
            call(tmp_path, "git", "add", "-A")
            call(tmp_path, "git", "commit", "-q", "-m", f"step {step}")
    for revision, passed in (("HEAD~1", 2), ("better", 4), ("main", 0)):
        assert main(["compare", f"kd@{revision}", "kd"]) == 0
        line = capsys.readouterr().out.splitlines()[2].split()
        assert line[:4] == ["katas", "4", str(passed), "0"]
    for name, reason in (("kd@no-such", "no-such"), ("other@main", "other.jsonl of main")):
        assert main(["compare", name, "kd"]) == 2
        err = capsys.readouterr().err
        assert (err.count("\n"), reason in err) == (1, True), err


def test_the_table_of_a_large_difference():
    (result,) = paired.compare(rows("1" * 30 + "0" * 10), rows("0" * 40))
    line = compare.table("a", "b", [result])[2]
    assert "+75.0 (" in line
    assert float(line.split()[-1]) == pytest.approx(2 * 0.5**30, rel=1e-2)

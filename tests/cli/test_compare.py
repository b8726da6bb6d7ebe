"""`potstill compare`: pairs, the exact test against scipy, and everything that can be named."""

import json
import math
import random

import pytest
from potstill import statistics
from potstill.cli import compare, paired, paired_values
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


def likelihoods(nats, tokens=None, task="likelihood", **more):
    """Return a row a number; None: the reference could not be read."""
    return [
        {"task": task, "id": f"{task}-{n}", "family": f"f{n // 2}", "nll_nats": found, "bytes": 30,
         "tokens": 0 if found is None else (tokens or 10), **more}
        for n, found in enumerate(nats)
    ]  # fmt: skip


def spread(count, seed):
    draw = random.Random(seed)
    return [draw.uniform(8.0, 40.0) for _ in range(count)]


def test_perplexity_and_bits_a_byte_are_paired_by_row_and_families_resampled():
    """The interval against one made by hand, family by family."""
    base = spread(40, 1)
    worse = [value + extra for value, extra in zip(base, spread(40, 2), strict=True)]
    perplexity, bits = paired_values.compare(likelihoods(worse), likelihoods(base))
    assert (perplexity.measure, bits.measure) == ("perplexity", "bits_per_byte")
    assert (perplexity.n, perplexity.left_out, perplexity.is_ratio) == (40, 0, True)
    assert perplexity.first == pytest.approx(math.exp(sum(worse) / 400))
    assert bits.second == pytest.approx(sum(base) / (40 * 30) / math.log(2))
    gaps = [a - b for a, b in zip(worse, base, strict=True)]
    by_family = [gaps[n] + gaps[n + 1] for n in range(0, 40, 2)]
    draw = random.Random(0)
    means = sorted(sum(draw.choices(by_family, k=20)) / 400 for _ in range(4000))
    low, high = means[100], means[3900]
    assert perplexity.difference[:3] == pytest.approx(
        (math.exp(sum(gaps) / 400), math.exp(low), math.exp(high)), rel=0.03
    )
    scale = 10 / 30 / math.log(2)
    assert bits.difference[:3] == pytest.approx(
        (sum(gaps) / 400 * scale, low * scale, high * scale), rel=0.03
    )
    assert perplexity.difference.p < 0.01
    # an unpaired interval would be several times as wide, and would hold 1
    (same, _) = paired_values.compare(likelihoods(base), likelihoods(base))
    assert (same.difference.value, same.difference.p) == (1.0, 1.0)


def test_rows_that_one_could_not_read_are_left_out_of_both():
    mine, other = spread(6, 3), spread(7, 4)
    mine[2] = None
    (found, _) = paired_values.compare(likelihoods(mine), likelihoods(other))
    assert (found.n, found.left_out) == (5, 2)
    kept = [value for n, value in enumerate(other[:6]) if n != 2]
    assert found.second == pytest.approx(math.exp(sum(kept) / 50))


def test_another_tokenizer_has_bits_a_byte_but_no_ratio_of_perplexities():
    perplexity, bits = paired_values.compare(
        likelihoods(spread(8, 1)), likelihoods(spread(8, 2), 12)
    )
    assert (perplexity.difference, bits.reason) == (None, "")
    assert perplexity.reason == "the rows have other tokens: not of one measure"
    assert bits.difference.n == 8


def divergences(nats, teacher):
    rows = likelihoods(nats, task="divergence", teacher_sha256=teacher)
    return [row | {"kl_nats": row["nll_nats"] / 100, "same_top": 9} for row in rows]


def test_kl_is_compared_to_one_teacher_alone():
    mine, other = spread(8, 1), spread(8, 2)
    kl, same = paired_values.compare(divergences(mine, "t"), divergences(other, "t"))
    assert (kl.measure, same.measure, same.difference.value) == ("kl_nats", "same_top", 0.0)
    want = (sum(mine) - sum(other)) / 100 / 80
    assert kl.difference.value == pytest.approx(want)
    assert kl.difference.low < want < kl.difference.high
    kl, _ = paired_values.compare(divergences(mine, "t"), divergences(other, "u"))
    assert (kl.difference, "teacher_sha256" in kl.reason) == (None, True)


def test_both_kinds_stand_in_one_answer_and_either_stands_alone(tmp_path, capsys):
    measured, more = likelihoods(spread(8, 1)), likelihoods([*spread(8, 2), 9.0])
    a = write(tmp_path / "a.jsonl", [*rows("110"), *measured])
    b = write(tmp_path / "b.jsonl", [*rows("100"), *more])
    assert main(["compare", str(a), str(b)]) == 0
    both = capsys.readouterr().out.splitlines()
    assert both[2].split()[:4] == ["katas", "3", "2", "1"]
    assert both[4].split()[:2] == ["task", "measure"]
    assert both[5].split()[:3] == ["likelihood", "perplexity", "8"]
    assert " A / B " in both[5]
    assert both[6].split()[:3] == ["likelihood", "bits_per_byte", "8"]
    assert both[7] == "likelihood: 1 rows that only one of them has or could read are left out"
    write(tmp_path / "b.jsonl", [*rows("11", "humaneval"), *more])
    assert main(["compare", str(a), str(b)]) == 0  # no kata in common, but these
    alone = capsys.readouterr().out.splitlines()
    assert alone[0] == f"A = {a}, B = {b}"
    assert alone[1:] == both[3:]


def test_other_words_to_ask_with_are_said(tree, capsys):
    write(tree / "yours/rows.jsonl", rows("101"))
    (tree / "mine/about.json").write_text('{"prompt": null}')
    (tree / "yours/about.json").write_text('{"prompt": [{"role": "user", "content": "{prompt}"}]}')
    assert main(["compare", "mine", "yours"]) == 0
    assert "A and B were asked in different words" in capsys.readouterr().out
    assert main(["compare", "mine", "kd-q8_0"]) == 0
    assert "different words" not in capsys.readouterr().out


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
    line = compare.table([result])[1]
    assert "+75.0 (" in line
    assert float(line.split()[-1]) == pytest.approx(2 * 0.5**30, rel=1e-2)

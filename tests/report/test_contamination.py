"""Scores are shown with and without the problems that a training row is like."""

from potstill.report import contamination

from tests.report.fake_tree import CERTIFICATE, rescore, write_json


def test_the_score_without_a_suspect_leaves_its_problem_out(look, tmp_path):
    rescore(tmp_path, "kd-q8_0", lambda row: {"passed": row["id"] in ("chore-0", "chore-1")}, 10)
    (row,) = contamination.table(look()).rows
    assert [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] == [
        "chores", "200 texts of chores", "1", "20.0 %", "11.1 %", "9",
    ]  # fmt: skip


def test_a_task_made_of_others_has_their_likenesses_and_says_what_is_missing(look, tmp_path):
    rescore(tmp_path, "kd-q8_0", lambda row: {"id": f"{row['id']}/code"}, 10)
    parts = {
        "chores": {"compared": True, "made_of": ["other", "absent"]},
        "other": {"compared": True, "num_texts": 3},
        "absent": {"compared": False, "reason": "no file"},
    }
    likenesses = [{"task": "other", "problem": "chore-1"}]
    certificate = CERTIFICATE | {"tasks": parts, "likenesses": likenesses}
    write_json(tmp_path / "data/card/certificate.json", certificate)
    (row,) = contamination.table(look()).rows
    assert row[1] == "not compared with absent"
    assert (row[2], row[5]) == ("1", "9")

"""Tasks of every method in the report: by task and measure alone, in their units, in pairs.

The metrics are made by the scoring's own code from rows; only the rows are made up.
"""

import random
import re

import pytest
from potstill import files
from potstill.evaluate import rates
from potstill.evaluate.scoring import Scores
from potstill.report import gates, headline, html, tables
from potstill.tasks import TASKS

from tests.report.fake_tree import FAMILIES, write_json, write_rows
from tests.tiny_project import ROOT

METHOD = {"forms": "form", "words": "likeness", "nats": "likelihood", "bot": "loop"}


def rows_of(task, owner, share):
    chance = random.Random(f"{task} {owner}")
    for number in range(40):
        passed = chance.random() < share
        yield {
            "id": f"{task}-{number}", "task": task, "family": FAMILIES[number % 20], "sample": 0,
            "level": 1 + number % 2, "language": "python", "format": ("plan", "code")[number % 2],
            "passed": passed, "lenient_passed": True, "hit_limit": False, "repeats": False,
            "answer": "Add one. Return it." if passed else "Return it.",
            "reference": "Add one to x. Return it.",
            "nll_nats": 9.0 - passed, "tokens": 9, "bytes": 30, "reason": "",
            "escalated": not passed, "escalation": "" if passed else "timeout",
            "iterations": 1 + number % 3, "inside_subset": True, "malformed": False,
        }  # fmt: skip


@pytest.fixture
def view(look, tmp_path):
    """Return the tree with four more tasks of the student and a control."""
    for export, share in (("kd-q8_0", 0.8), ("labels_only-q8_0", 0.5)):
        path = tmp_path / f"metrics/score/{export}.json"
        old = list(files.read_jsonl(tmp_path / f"data/scores/{export}.jsonl"))
        new = {task: list(rows_of(task, export, share)) for task in METHOD}
        facts = {task: {"method": method, "max_tokens": 9} for task, method in METHOD.items()}
        rows = [row for found in new.values() for row in found]
        write_json(path, files.read_json(path) | rates.summary(Scores(rows, facts)))
        write_rows(tmp_path, export, [*old, *rows])
    return look


def test_students_are_compared_on_each_task_in_its_own_measure(view):
    seen = view()
    claims = {c.task: c for c in seen.claims if c.second == "labels_only"}
    assert {task: seen.measure(task) for task in METHOD} == {
        "forms": "well_formed", "words": None, "nats": None, "bot": "solved",
    }  # fmt: skip
    assert (claims["forms"].measure, claims["bot"].measure) == ("well_formed", "solved")
    kd, other = (seen.results.variants[f"{n}-q8_0"] for n in ("kd", "labels_only"))
    gain = kd.rate("bot", "solved").value - other.rate("bot", "solved").value
    assert claims["bot"].found.estimate.value == pytest.approx(gain, abs=1e-6)
    assert not {"words", "nats"} & {claim.task for claim in seen.claims}
    students = tables.students(seen)
    assert {"forms well formed", "bot solved"} <= set(students.head)
    assert not any("words" in head or "nats" in head for head in students.head)


def test_every_measure_is_shown_in_its_unit(view):
    found = {table.title: table for table in tables.scores(view())}
    assert list(found) == [
        "Scores", "Scores: solved", "Scores: well formed", "Scores: perplexity", "Scores: chrF",
    ]  # fmt: skip
    (cells,) = [
        dict(zip(found["Scores: perplexity"].head, row, strict=True))
        for row in found["Scores: perplexity"].rows
        if row[0] == "kd-q8_0"
    ]
    assert re.fullmatch(r"2\.\d\d \(2\.\d\d to 2\.\d\d\) a token", cells["Perplexity"])
    assert cells["Bits per byte"].endswith("bits a byte")
    (cells,) = [
        dict(zip(found["Scores: solved"].head, row, strict=True))
        for row in found["Scores: solved"].rows
        if row[0] == "kd-q8_0"
    ]
    assert re.fullmatch(r"\d+\.\d.% \(\d+\.\d to \d+\.\d\)", cells["Solved"])
    assert cells["Iterations"].endswith("iterations")


@pytest.mark.parametrize(
    ("measure", "task", "of", "bound", "state", "said"),
    [
        ("value", "bot", "iterations", {"at_most": 2.5}, "pass", "iterations"),
        ("value", "bot", "iterations", {"at_most": 1.5}, "fail", "1.9"),
        ("value", "bot", "solved", {"at_least": 1}, "not-run", "`rate`"),
        ("rate", "bot", "iterations", {"at_most": 0.5}, "not-run", "`value`"),
        ("rate", "forms", "well_formed", {"at_least": 0.5}, "pass", "%"),
        ("value", "nats", "kl", {"at_most": 1}, "not-run", "kl was not measured"),
        ("value", "nats", "perplexity", {"at_least": 0}, "not-run", "no outcome could fail"),
        ("rate", "bot", "solved", {"at_least": 0.1, "min_n": 99}, "not-run", "n 40"),
    ],
)
def test_gates_judge_numbers_in_their_units(view, measure, task, of, bound, state, said):
    gate = {"measure": measure, "task": task, "of": of} | bound
    verdicts = {v.subject: v for v in gates.judge(view(gates={"g": gate}))}
    assert verdicts["kd-q8_0"].state == state
    assert said in verdicts["kd-q8_0"].measured + verdicts["kd-q8_0"].reason
    assert verdicts["kd-f16"].state == "not-run"  # it was not tried


def test_the_whole_report_is_written(view):
    seen = view(primary={"task": "bot", "measure": "solved", "against": "labels_only"})
    verdicts = gates.judge(seen)
    page, text = html.render(seen, verdicts), html.markdown(seen, verdicts)
    for what in ("bot solved", "forms well formed", "Scores: perplexity", "level 1"):
        assert what in page
    assert "### Scores: chrF" in text
    numbers = headline.headline(seen, verdicts)
    assert numbers["bot"] == pytest.approx(100 * seen.item.rate("bot", "solved").value, abs=0.1)


def test_the_headline_has_other_tasks_in_their_units_those_with_most_answers_first(view):
    seen = view()
    numbers = headline.headline(seen, gates.judge(seen))
    rate = seen.item.rate
    want = {
        "forms": 100 * rate("forms", "well_formed").value, "words": rate("words", "chrf").value,
        "nats": rate("nats", "perplexity").value, "bot": 100 * rate("bot", "solved").value,
    }  # fmt: skip
    assert {name: numbers[name] for name in METHOD} == pytest.approx(want, abs=0.1)
    assert set(list(numbers)[-4:]) == set(METHOD)


def test_a_row_that_lacks_what_its_measure_is_counted_from_is_named(view, tmp_path):
    path = tmp_path / "data/scores/kd-q8_0.jsonl"
    rows = list(files.read_jsonl(path))
    del next(row for row in rows if row["task"] == "bot")["escalated"]
    write_rows(tmp_path, "kd-q8_0", rows)
    with pytest.raises(Exception, match="bot: row bot-0 lacks escalated"):
        view()


def test_nothing_in_the_report_names_a_task():
    for path in [*(ROOT / "lib/potstill/report").iterdir(), ROOT / "stages/compare.py"]:
        if path.suffix in (".py", ".html"):
            quoted = re.findall(r"[\"'](\w+)[\"']", path.read_text(encoding="utf-8"))
            columns = {"divergence"} if path.name == "load.py" else set()  # of a training's history
            assert not set(quoted) & set(TASKS) - columns, path

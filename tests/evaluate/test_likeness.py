"""BLEU and chrF against sacrebleu's own, and their intervals against a bootstrap by hand."""

import numpy as np
import pytest
import sacrebleu
from potstill.evaluate import likeness
from potstill.statistics import RESAMPLES
from potstill.tasks import TASKS, Where

SAID = ["Add one to x. Return it.", "Go through the list. Return the sum.", "", "Return x.",
        "Sort the words. Return the last one.", "Add one. Return it."]  # fmt: skip
WANTED = ["Add 1 to x. Return it.", "Sum up the list. Return the sum.", "Return x.", "Return x.",
          "Sort the words. Return the first.", "Subtract one. Return the result."]  # fmt: skip
FAMILIES = ["a", "a", "b", "c", "c", "d"]


def rows(said=SAID):
    return [
        {"answer": one, "reference": other, "family": family}
        for one, other, family in zip(said, WANTED, FAMILIES, strict=True)
    ]


def test_scores_are_sacrebleus_own():
    found = likeness.measures(rows()).values
    bleu, chrf = (f(SAID, [WANTED]).score for f in (sacrebleu.corpus_bleu, sacrebleu.corpus_chrf))
    assert found["bleu"].value == pytest.approx(bleu, abs=1e-9)
    assert found["chrf"].value == pytest.approx(chrf, abs=1e-9)
    assert found["bleu"].n == 6


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_intervals_are_of_whole_families_drawn_anew(name):
    found = likeness.measures(rows()).values[name]
    names, generator = sorted(set(FAMILIES)), np.random.default_rng(0)
    score = getattr(sacrebleu, f"corpus_{name}")
    cache, scores = {}, []
    for drawn in generator.integers(4, size=(RESAMPLES, 4)):
        key = tuple(sorted(drawn))
        if key not in cache:
            chosen = [n for f in key for n in range(6) if FAMILIES[n] == names[f]]
            texts = [SAID[n] for n in chosen], [[WANTED[n] for n in chosen]]
            cache[key] = score(*texts).score
        scores.append(cache[key])
    assert (found.low, found.high) == pytest.approx(np.percentile(scores, [2.5, 97.5]), abs=1e-9)


def test_the_signature_names_what_was_computed_and_by_which_version():
    notes = likeness.measures(rows()).notes
    assert notes["bleu.signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp")
    assert notes["chrf.signature"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no")
    assert all(f"version:{sacrebleu.__version__}" in text for text in notes.values())


def test_references_score_a_hundred_and_silence_nothing():
    assert likeness.measures(rows(WANTED)).values["chrf"].low == 100
    for metric in likeness.measures(rows([""] * 6)).values.values():
        assert metric[:3] == (0, 0, 0)


def test_hostile_answers_have_a_finite_score():
    said = ["x" * 1_000_000, "\0" * 999, "```" * 999, "\ud800", " ", "\u2028\n1."]
    for found in likeness.measures(rows(said)).values.values():
        assert 0 <= found.low <= found.value <= found.high <= 100


def test_plans_are_scored_without_their_numbers(bench):
    problems = TASKS["plans"].problems(Where(prompts=bench.prompts))
    known = {item.messages[-1]["content"]: item.reference for item in problems}

    def say(prompt):
        plan = next(plan for text, plan in known.items() if text in prompt)
        return plan.replace(". ", ") ", 1)

    metrics, found = bench.score({"plans": 20}, say)
    assert metrics["plans.verdict"] == "run"
    assert metrics["plans.chrf"] == 100
    assert metrics["plans.chrf.unit"] == metrics["plans.bleu.unit"] == "of 100"
    assert not any(row["reference"].startswith("1.") for row in found)
    metrics, _ = bench.score({"plans": 20}, lambda _: "1. zzzz")
    assert metrics["plans.chrf"] < 5


def test_a_random_model_plans_by_its_real_runtime(bench):
    metrics, found = bench.score({"plans": 4}, max_tokens={"plans": 8})
    assert (metrics["plans.verdict"], len(found)) == ("not-run", 4)  # it goes on for ever
    assert "plans.chrf" not in metrics

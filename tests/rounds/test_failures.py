"""Clusters of tasks, and what they weigh."""

import numpy as np
import pytest
from potstill.errors import InputError
from potstill.rounds import failures

WORDS = ["matrix rows columns", "reverse string letters", "prime divisor factor"]


@pytest.fixture
def planted():
    """Return texts, vectors around three far directions, and verdicts: one kind always fails."""
    generator = np.random.default_rng(0)
    kinds = np.repeat([0, 1, 2], [10, 20, 30])
    vectors = np.eye(3, 5)[kinds] + 0.05 * generator.normal(size=(60, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [WORDS[kind] for kind in kinds], vectors.astype(np.float32), kinds, kinds != 1


def grouped(planted, **changes):
    texts, vectors, _, passed = planted
    settings = {"num_clusters": 3, "seed": 0} | changes
    return failures.cluster(texts, vectors, passed, **settings)


def test_planted_kinds_are_found_and_named(planted):
    found = grouped(planted)
    assert sorted((one.tasks, one.failed) for one in found.found) == [(10, 0), (20, 20), (30, 0)]
    worst = max(found.found, key=lambda one: one.weight)
    assert worst.failed == 20
    assert set(worst.name.split(", ")) == {"reverse", "string", "letters"}


def test_weights_average_to_one_over_the_tasks(planted):
    found = grouped(planted).found
    assert sum(one.weight * one.tasks for one in found) / 60 == pytest.approx(1, abs=1e-3)


def test_a_group_of_one_failure_weighs_less_than_one_of_twenty(planted):
    texts, vectors, kinds, _ = planted
    alone = np.flatnonzero(kinds == 0)[:1]
    kept = np.concatenate([alone, np.flatnonzero(kinds > 0)])
    passed = np.isin(kinds[kept], [2])
    found = failures.cluster(
        [texts[k] for k in kept], vectors[kept], passed, num_clusters=3, seed=0
    )
    by_size = {one.tasks: one.weight for one in found.found}
    assert by_size[30] < by_size[1] < by_size[20]


def test_other_tasks_get_the_weight_of_the_nearest_centre(planted):
    found = grouped(planted)
    other = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    expected = [
        found.found[min(range(3), key=lambda c: np.linalg.norm(row - found.centres_CD[c]))].weight
        for row in other
    ]
    assert found.weights(other) == expected


def test_equal_input_and_seed_give_equal_clusters(planted):
    assert grouped(planted).found == grouped(planted).found


def test_texts_without_words_have_a_number_for_a_name(planted):
    _, vectors, _, passed = planted
    found = failures.cluster(["1 + 1"] * 60, vectors, passed, num_clusters=3, seed=0)
    assert {one.name for one in found.found} == {"cluster 0", "cluster 1", "cluster 2"}


def test_more_clusters_than_different_tasks_are_refused():
    vectors = np.tile(np.eye(2, dtype=np.float32), (5, 1))
    with pytest.raises(InputError, match="2 different tasks make no 3 clusters"):
        failures.cluster(["a"] * 10, vectors, [False] * 10, num_clusters=3, seed=0)


def test_a_student_that_solves_all_has_nothing_to_learn_from(planted):
    texts, vectors, _, _ = planted
    with pytest.raises(InputError, match="no failure to learn from"):
        failures.cluster(texts, vectors, [True] * 60, num_clusters=3, seed=0)

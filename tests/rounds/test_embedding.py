"""Texts as vectors of the real encoder."""

import numpy as np
import pytest
from potstill.errors import InputError
from potstill.rounds import embedding

pytestmark = pytest.mark.real

TEXTS = [
    "Write a function that adds two numbers.",
    "Return the sum of a pair of integers.",
    "Reverse the characters of a string.",
    "Turn a text around, so that its last letter comes first, " * 9,
    "",
]


@pytest.fixture(scope="module")
def vectors():
    return embedding.embed(TEXTS)


def test_vectors_have_length_one(vectors):
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_like_meanings_are_near(vectors):
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > cosines[0, 2] + 0.1
    assert cosines[2, 3] > cosines[1, 3]


def test_a_text_has_the_same_vector_alone_as_beside_others(vectors):
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(embedding.embed([text])[0], vector, atol=2e-6)


def test_what_is_not_installed_is_named():
    with pytest.raises(InputError, match="package no-such-encoder is not installed"):
        embedding.embed(["a"], "package:no-such-encoder")


def test_the_hub_is_not_asked():
    with pytest.raises(InputError, match="only package:NAME and folder:PATH"):
        embedding.embed(["a"], "hub:a/b")

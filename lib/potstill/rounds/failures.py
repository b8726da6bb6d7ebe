"""Clusters of tasks, what share of each a student fails, and how much more to ask for of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from potstill.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = 3  # of a cluster's name
PRIOR = 2.0  # tasks that count as failed at the student's own rate: few tasks say little


@dataclass(frozen=True)
class Cluster:
    """Tasks that are alike.

    Attributes:
        name: the words that tell it from the others.
        tasks, failed: how many of what was tried lie in it, and of them failed.
        weight: how much more than average to ask for of it; weighted by tasks the mean is one.
    """

    name: str
    tasks: int
    failed: int
    weight: float


@dataclass(frozen=True)
class Clusters:
    """What was found.

    Attributes:
        found: the clusters.
        of: [N] the cluster of each tried task.
        centres_CD: their centres.
    """

    found: list[Cluster]
    of: "NDArray[np.int64]"
    centres_CD: "NDArray[np.float32]"

    def weights(self, vectors_MD: "NDArray[np.float32]") -> list[float]:
        """Return the weight of other tasks: that of the nearest centre's cluster."""
        distances_MC = ((vectors_MD[:, None] - self.centres_CD[None]) ** 2).sum(-1)
        return [self.found[place].weight for place in distances_MC.argmin(-1)]


def cluster(
    texts: Sequence[str],
    vectors_ND: "NDArray[np.float32]",
    passed: Sequence[bool],
    *,
    num_clusters: int,
    seed: int,
) -> Clusters:
    """Group tasks by k-means, and weigh each group by the share that failed.

    The share is drawn towards the whole's by PRIOR tasks, so that one failure in a group of one is
    no certainty. All tasks are grouped, solved ones too: a rate needs both.

    Args:
        texts: N requests.
        vectors_ND: theirs, of unit length.
        passed: whether each was solved.
        num_clusters: k.
        seed: of the first centres.

    Raises:
        InputError: fewer different tasks than clusters, or none failed.
    """
    from sklearn.cluster import KMeans

    different = len(np.unique(vectors_ND, axis=0))
    if different < num_clusters:
        raise InputError(f"{different} different tasks make no {num_clusters} clusters: ask fewer")
    failed = ~np.asarray(passed, bool)
    if not failed.any():
        raise InputError("the student solves all of them: there is no failure to learn from")
    grouped = KMeans(num_clusters, n_init=10, random_state=seed).fit(vectors_ND)
    of = grouped.labels_.astype(np.int64)
    sizes = np.bincount(of, minlength=num_clusters)
    misses = np.bincount(of[failed], minlength=num_clusters)
    rates = (misses + PRIOR * failed.mean()) / (sizes + PRIOR)
    weights = rates / np.average(rates, weights=sizes)
    names = _names(texts, of, num_clusters)
    found = [
        Cluster(name, int(size), int(miss), round(float(weight), 4))
        for name, size, miss, weight in zip(names, sizes, misses, weights, strict=True)
    ]
    return Clusters(found, of, grouped.cluster_centers_)


def _names(texts: Sequence[str], of: "NDArray[np.int64]", num_clusters: int) -> list[str]:
    """Return the words of each cluster with the highest tf-idf, where a cluster is one document."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    documents = [
        " ".join(text for text, mine in zip(texts, of, strict=True) if mine == number)
        for number in range(num_clusters)
    ]
    tfidf = TfidfVectorizer(
        stop_words="english", token_pattern=r"[A-Za-z][a-z]{2,}", sublinear_tf=True
    )
    try:
        scores = tfidf.fit_transform(documents).toarray()
    except ValueError:  # no text has a word
        return [f"cluster {number}" for number in range(num_clusters)]
    words = tfidf.get_feature_names_out()
    best = np.argsort(-scores, axis=1, kind="stable")[:, :WORDS]
    return [", ".join(words[places]) for places in best]

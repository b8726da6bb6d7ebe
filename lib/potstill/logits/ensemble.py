"""Several teachers of one tokenizer as one: the weighted geometric mean of their distributions.

    log q(v) = sum_m w_m log p_m(v) - log Z,   weights w_m that sum to one

Of each teacher only the top tokens and the mass of the rest are stored, so a token that another
teacher kept, and it did not, has a probability that is known in sum only. Each teacher's rest is
taken as spread evenly over the tokens that it did not keep. Under that reading the mean is exact:
over the union of kept tokens, and over all others, which are alike. Where all teachers keep the
whole vocabulary nothing is assumed. The result keeps as many tokens as the widest teacher; the
other tokens of the union join the tail.

The even spread is too high for rare tokens and too low for the best of the rest: its error is
bounded by the smallest kept probability and shrinks with k.

Dimensions: N tokens, M teachers, K tokens kept, U columns for the union (M * K), V vocabulary.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from potstill.errors import InputError
from potstill.logits.store import LogitStore, keys_of, packed_keys, unpacked
from potstill.logits.topk import MIN_LOG_PROBABILITY, TopK
from potstill.tokens.examples import Example


def combine(teachers: Sequence[TopK], weights_NM: torch.Tensor, vocab_size: int) -> TopK:
    """Return the weighted geometric mean of the teachers' distributions of the same N tokens.

    Args:
        teachers: distributions over one vocabulary.
        weights_NM: of each teacher at each token; not negative, some positive in each row.
        vocab_size: number of ids that the distributions were normalised over.
    """
    weights_NM = weights_NM.double() / weights_NM.double().sum(-1, keepdim=True)
    union_NU = torch.cat([top.ids_NK for top in teachers], dim=-1).sort(dim=-1).values
    repeated_NU = torch.zeros_like(union_NU, dtype=torch.bool)
    repeated_NU[:, 1:] = union_NU[:, 1:] == union_NU[:, :-1]
    mean_NU = torch.zeros(union_NU.shape, dtype=torch.float64)
    other_N = torch.zeros(len(union_NU), dtype=torch.float64)  # of one token outside the union
    for top, weight_N in zip(teachers, weights_NM.T, strict=True):
        each_N = _log_each_of_the_rest(top, vocab_size)
        mean_NU += weight_N[:, None] * _look_up(top, union_NU, each_N)
        other_N += weight_N * each_N
    mean_NU = mean_NU.masked_fill(repeated_NU, -torch.inf)
    num_others_N = vocab_size - (~repeated_NU).sum(-1)
    others_N = other_N + num_others_N.double().log()  # -inf where the union is the vocabulary
    total_N = torch.logsumexp(torch.cat([mean_NU, others_N[:, None]], dim=-1), dim=-1)
    best = torch.topk(mean_NU, max(top.ids_NK.shape[-1] for top in teachers), dim=-1)
    left_NU = mean_NU.scatter(-1, best.indices, -torch.inf)
    tail_N = torch.logsumexp(torch.cat([left_NU, others_N[:, None]], dim=-1), dim=-1) - total_N
    return TopK(
        union_NU.gather(-1, best.indices),
        (best.values - total_N[:, None]).float(),
        tail_N.clamp(min=MIN_LOG_PROBABILITY).float(),
    )


def _log_each_of_the_rest(top: TopK, vocab_size: int) -> torch.Tensor:
    """Return the log-probability [N] of each token that was not kept, were they all alike."""
    count = vocab_size - top.ids_NK.shape[-1]
    return top.log_tail_N.double() - math.log(max(count, 1))


def _look_up(top: TopK, ids_NU: torch.Tensor, each_N: torch.Tensor) -> torch.Tensor:
    """Return the log-probability [N, U] of ids: as kept, or that of one of the rest."""
    order_NK = top.ids_NK.argsort(-1)
    known_NK = top.ids_NK.gather(-1, order_NK)
    place_NU = torch.searchsorted(known_NK, ids_NU).clamp(max=known_NK.shape[-1] - 1)
    found_NU = top.log_probs_NK.double().gather(-1, order_NK).gather(-1, place_NU)
    return torch.where(known_NK.gather(-1, place_NU) == ids_NU, found_NU, each_N[:, None])


class Ensemble:
    """Stores that are read as one; it offers what `source.Source` asks.

    A row that some stores lack is the mean of those that have it, and of one alone is that one's:
    two teachers, each of which scored the rows that the other learnt, are the teacher of all rows.

    Attributes:
        stores: of teachers with one tokenizer and template, all with codec topk.
        weights: one a store.
        by_domain: weights for the rows of a domain, in place of `weights`.
    """

    signal = TopK

    def __init__(
        self,
        stores: Sequence[LogitStore],
        weights: Sequence[float],
        by_domain: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Check that the stores and weights go together.

        Raises:
            InputError: says what does not.
        """
        self.stores, self.weights, self.by_domain = stores, weights, by_domain or {}
        if not stores:
            raise InputError("an ensemble has no stores: name at least one")
        for store in stores:
            _check_alike(store, stores[0])
        kept = [store.header.k for store in stores]
        if len(set(kept)) > 1 and not all(np.array_equal(s.keys, stores[0].keys) for s in stores):
            raise InputError(
                f"ensemble {self.names}: the signals have different rows and keep {kept} ids of a "
                "token: cache all with one k"
            )
        for where, given in {"weights": weights, **self.by_domain}.items():
            if len(given) != len(stores) or min(given) < 0 or not 0 < sum(given) < math.inf:
                raise InputError(
                    f"ensemble: {where} is {list(given)}: give one weight for each of the "
                    f"{len(stores)} stores, none negative and not all 0"
                )

    @property
    def names(self) -> list[str]:
        """The signals that this is made of."""
        return [store.folder.name for store in self.stores]

    def summary(self) -> dict[str, int]:
        """Return num_rows, which some store has, and num_shared_rows, which several have."""
        _, counts = np.unique(np.concatenate([s.keys for s in self.stores]), return_counts=True)
        return {"num_rows": len(counts), "num_shared_rows": int((counts > 1).sum())}

    def check(self, hashes: Mapping[str, str]) -> None:
        """Refuse to train from stores that were made for something else; see `LogitStore.check`."""
        for store in self.stores:
            store.check(hashes)

    def require(self, rows: Sequence[Example]) -> None:
        """Refuse rows that no store has, or only stores whose weight there is 0.

        Raises:
            InputError: names the first.
        """
        has_RM = self._holders(keys_of(rows))
        zeros = any(0 in given for given in (self.weights, *self.by_domain.values()))
        partly = np.flatnonzero(~has_RM.all(-1) & zeros)
        self._weights(has_RM[partly], [rows[int(row)].language for row in partly])

    def signal_of(self, rows: Sequence[Example]) -> TopK:
        """Return the mean distributions of rows; their languages are the domains."""
        return self.get([row.key for row in rows], [row.language for row in rows])

    def get(self, keys: Iterable[str], domains: Iterable[str] | None = None) -> TopK:
        """Return the mean distributions of rows, one after the other.

        Args:
            keys: of the rows.
            domains: of the same rows; one without weights of its own has the ensemble's.

        Raises:
            InputError: no store has a row, or only stores whose weight there is 0.
        """
        keys = list(keys)
        names = [""] * len(keys) if domains is None else list(domains)
        has_RM = self._holders(packed_keys(keys))
        weights_RM = self._weights(has_RM, names)
        patterns, which_R = np.unique(has_RM, axis=0, return_inverse=True)
        sizes_R, parts, order = np.zeros(len(keys), np.int64), [], []
        for number, has_M in enumerate(patterns):
            rows = np.flatnonzero(which_R.reshape(-1) == number)
            stores = [store for store, has in zip(self.stores, has_M, strict=True) if has]
            mine = [keys[row] for row in rows]
            sizes_R[rows] = stores[0].num_tokens_of(mine)
            weights_NM = np.repeat(weights_RM[rows][:, has_M], sizes_R[rows], axis=0)
            parts.append(_mean(stores, mine, torch.from_numpy(weights_NM)))
            order.append(rows)
        return _in_order(parts, np.concatenate(order), sizes_R)

    def _weights(self, has_RM: NDArray[np.bool_], domains: Sequence[str]) -> NDArray[np.float64]:
        """Return the weight of each store at each row [R, M], 0 where it lacks the row."""
        given = [self.by_domain.get(domain, self.weights) for domain in domains]
        weights_RM = np.array(given, np.float64).reshape(has_RM.shape) * has_RM
        idle = np.flatnonzero(weights_RM.sum(-1) == 0)
        if len(idle):
            raise InputError(
                f"ensemble {self.names}: {len(idle)} rows, the first of the language "
                f"{domains[idle[0]]!r}, are only in signals whose weight there is 0: give one of "
                "them a weight"
            )
        return weights_RM

    def _holders(self, packed: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Return which stores have which rows [R, M]."""
        has_RM = np.stack([store.holds(packed) for store in self.stores], axis=1)
        lost = np.flatnonzero(~has_RM.any(-1))
        if len(lost):
            raise InputError(
                f"no signal of the ensemble {self.names} has the row {unpacked(packed[lost[0]])} "
                f"({len(lost)} of {len(packed)} are missing): raise cache_logits.max_rows, or add "
                "a signal whose teacher was not adapted on it"
            )
        return has_RM


def _mean(stores: Sequence[LogitStore], keys: list[str], weights_NM: torch.Tensor) -> TopK:
    """Return the mean over stores that have all of some rows."""
    teachers = [top for store in stores if isinstance(top := store.get(keys), TopK)]
    if len(teachers) == 1:
        return teachers[0]
    return combine(teachers, weights_NM, stores[0].header.vocab_size)


def _in_order(parts: list[TopK], order_R: NDArray[np.int64], sizes_R: NDArray[np.int64]) -> TopK:
    """Put rows that were read by turns into the order in which they were asked for.

    Args:
        parts: of the rows `order_R`, one after the other.
        order_R: the rows' places in that order.
        sizes_R: tokens of each row, in that order.
    """
    first_R = np.cumsum(sizes_R) - sizes_R
    places = [np.arange(first_R[row], first_R[row] + sizes_R[row]) for row in order_R]
    back_N = torch.from_numpy(np.concatenate(places).argsort())
    return TopK(
        torch.cat([part.ids_NK for part in parts])[back_N],
        torch.cat([part.log_probs_NK for part in parts])[back_N],
        torch.cat([part.log_tail_N for part in parts])[back_N],
    )


def _check_alike(store: LogitStore, first: LogitStore) -> None:
    """Refuse a store that cannot be combined with another."""
    if store.header.codec != "topk":
        raise InputError(
            f"{store.folder} holds drawn ids, which have no mean in log-probability: "
            "cache it with codec topk"
        )
    for name in ("tokenizer_sha256", "template_sha256", "vocab_size"):
        found, wanted = getattr(store.header, name), getattr(first.header, name)
        if found != wanted:
            raise InputError(
                f"{store.folder} has {name} {found}, {first.folder} {wanted}: only "
                "teachers of one tokenizer and template can be combined"
            )

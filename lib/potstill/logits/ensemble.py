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

import torch

from potstill.errors import InputError
from potstill.logits.store import LogitStore
from potstill.logits.topk import MIN_LOG_PROBABILITY, TopK


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
    """Stores that are read as one; it offers what training asks of a `LogitStore`.

    Attributes:
        stores: of teachers with one tokenizer and template, all with codec topk.
        weights: one a store.
        by_domain: weights for the rows of a domain, in place of `weights`.
    """

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
        first = stores[0].header
        for store in stores:
            if store.header.codec != "topk":
                raise InputError(
                    f"{store.folder} holds drawn ids, which have no mean in log-probability: "
                    "cache it with codec topk"
                )
            for name in ("tokenizer_sha256", "template_sha256", "vocab_size"):
                found, wanted = getattr(store.header, name), getattr(first, name)
                if found != wanted:
                    raise InputError(
                        f"{store.folder} has {name} {found}, {stores[0].folder} {wanted}: only "
                        "teachers of one tokenizer and template can be combined"
                    )
        for where, given in {"weights": weights, **self.by_domain}.items():
            if len(given) != len(stores) or min(given) < 0 or not 0 < sum(given) < math.inf:
                raise InputError(
                    f"ensemble: {where} is {list(given)}: give one weight for each of the "
                    f"{len(stores)} stores, none negative and not all 0"
                )

    def check(self, hashes: Mapping[str, str]) -> None:
        """Refuse to train from stores that were made for something else; see `LogitStore.check`."""
        for store in self.stores:
            store.check(hashes)

    def get(self, keys: Iterable[str], domains: Iterable[str] | None = None) -> TopK:
        """Return the mean distributions of rows, one after the other.

        Args:
            keys: of the rows.
            domains: of the same rows; one without weights of its own has the ensemble's.

        Raises:
            InputError: a row is not in one of the stores.
        """
        keys = list(keys)
        names = [""] * len(keys) if domains is None else list(domains)
        weights = torch.tensor([self.by_domain.get(name, self.weights) for name in names])
        sizes = torch.from_numpy(self.stores[0].num_tokens_of(keys))
        teachers = [top for store in self.stores if isinstance(top := store.get(keys), TopK)]
        weights_NM = weights.repeat_interleave(sizes, dim=0)
        return combine(teachers, weights_NM, self.stores[0].header.vocab_size)

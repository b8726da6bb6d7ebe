"""Where prompts are cut so that what they have in common is computed once.

A prompt that is read in other parts has logits with other last digits: llama.cpp has kernels for
few ids and kernels for many. So the cuts follow from the prompts of a call alone. Whichever prompt
computes a part, and in whatever order, the part is the same to the bit.
"""

from collections.abc import Sequence
from itertools import groupby

Prompt = tuple[int, ...]
# Fewer ids in common are not worth a cut: a part of its own takes all weights once, as long as
# some ten ids of a longer part, and its copy takes a millisecond or more.
LEAST = 16


def cuts(prompts: Sequence[Prompt]) -> dict[Prompt, Prompt]:
    """Return for each prompt the rising places at which it is cut, none behind its last id.

    Prompts with at least LEAST ids in common since their last cut are cut where they part: all of a
    task behind the system's message, those with the same examples behind these. Two prompts that
    agree up to a cut have the same cuts up to there, but that one may end at it.

    >>> head = tuple(range(20))
    >>> sorted(cuts([(*head, 1), (*head, 2), (7, 8)]).values())
    [(), (20,), (20,)]
    """
    found: dict[Prompt, Prompt] = {}
    groups: list[tuple[list[Prompt], Prompt]] = [(sorted(set(prompts)), ())]
    while groups:
        group, places = groups.pop()
        if len(group) < 2:
            found |= dict.fromkeys(group, places)
            continue
        end = common(group[0], group[-1])  # of all of them, since they are sorted
        if len(group[0]) == end:  # the others begin with it
            found[group.pop(0)] = places
        if end - (places[-1] if places else 0) >= LEAST:
            places = (*places, end)
        parts = groupby(group, key=lambda ids, end=end: ids[end])  # type: ignore[misc]
        groups += [(list(part), places) for _, part in parts]
    return found


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many ids at the beginning are the same."""
    pairs = zip(left, right, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))

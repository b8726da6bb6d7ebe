"""How the arguments of a kata's tests are drawn: small, printable, the same for a seed.

A `Draw` takes a generator and the values that the family's templates were filled with, and returns
one JSON value. `each` puts several together into one list of arguments.
"""

import random
from collections.abc import Callable
from typing import Any

Values = dict[str, Any]
Draw = Callable[[random.Random, Values], Any]

WORDS = (
    *("apple", "bread", "cat", "dog", "eagle", "fox", "green", "house", "ice", "jump", "kite"),
    *("lemon", "moon", "night", "orange", "pear", "queen", "river", "stone", "tree", "under"),
    *("violin", "water", "yellow", "zebra", "a", "to", "sun", "banana", "window"),
)


def each(*draws: Draw) -> Draw:
    """Draw one list of arguments, one value from each."""
    return lambda rng, values: [draw(rng, values) for draw in draws]


def integer(low: int = -20, high: int = 20) -> Draw:
    """Draw a whole number, both ends included."""
    return lambda rng, _: rng.randint(low, high)


def near(key: str, spread: int = 3) -> Draw:
    """Draw a whole number close to a template value: boundaries are where answers go wrong."""
    return lambda rng, values: values[key] + rng.randint(-spread, spread)


def flag() -> Draw:
    """Draw true or false."""
    return lambda rng, _: rng.random() < 0.5


def one_of(*options: Any) -> Draw:  # noqa: ANN401 - any JSON value
    """Draw one of the options."""
    return lambda rng, _: rng.choice(options)


def many(item: Draw, shortest: int = 1, longest: int = 6) -> Draw:
    """Draw a list."""
    return lambda rng, values: [item(rng, values) for _ in range(rng.randint(shortest, longest))]


def integers(low: int = -20, high: int = 20, shortest: int = 1, longest: int = 6) -> Draw:
    """Draw a list of whole numbers."""
    return many(integer(low, high), shortest, longest)


def ascending(low: int = -20, high: int = 20, shortest: int = 1, longest: int = 6) -> Draw:
    """Draw a sorted list of different whole numbers."""

    def draw(rng: random.Random, _: Values) -> list[int]:
        return sorted(rng.sample(range(low, high + 1), rng.randint(shortest, longest)))

    return draw


def word() -> Draw:
    """Draw an English word in lower case."""
    return one_of(*WORDS)


def words(shortest: int = 1, longest: int = 5) -> Draw:
    """Draw a list of words in lower case."""
    return many(word(), shortest, longest)


def sentence(shortest: int = 1, longest: int = 5) -> Draw:
    """Draw words with single spaces between them."""
    drawn = words(shortest, longest)
    return lambda rng, values: " ".join(drawn(rng, values))


def letters(alphabet: str, shortest: int = 1, longest: int = 8) -> Draw:
    """Draw a string over an alphabet; a letter given twice is twice as likely."""
    drawn = many(one_of(*alphabet), shortest, longest)
    return lambda rng, values: "".join(drawn(rng, values))


def mapping(value: Draw, shortest: int = 1, longest: int = 4) -> Draw:
    """Draw an object with words as keys."""

    def draw(rng: random.Random, values: Values) -> dict[str, Any]:
        keys = rng.sample(WORDS, rng.randint(shortest, longest))
        return {key: value(rng, values) for key in keys}

    return draw


def matrix(rows: tuple[int, int] = (1, 4), columns: tuple[int, int] = (1, 4)) -> Draw:
    """Draw a list of equally long rows of small whole numbers."""

    def draw(rng: random.Random, _: Values) -> list[list[int]]:
        width = rng.randint(*columns)
        return [[rng.randint(0, 9) for _ in range(width)] for _ in range(rng.randint(*rows))]

    return draw


def same_length(first: Draw, second: Draw, shortest: int = 1, longest: int = 5) -> Draw:
    """Draw two lists of one length: the whole list of arguments of a function of two."""

    def draw(rng: random.Random, values: Values) -> list[list[Any]]:
        length = rng.randint(shortest, longest)
        return [[item(rng, values) for _ in range(length)] for item in (first, second)]

    return draw

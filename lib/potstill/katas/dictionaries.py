"""Levels 1 to 3: dictionaries."""

import random
from typing import Any

from potstill.katas.draws import Values, each, integer, mapping, word, words
from potstill.katas.family import Family


def _keys_and_values(rng: random.Random, values: Values) -> list[list[Any]]:
    entries = mapping(integer())(rng, values)
    return [list(entries), list(entries.values())]


FAMILIES = (
    Family(
        "look_up(prices, name)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the value stored in the dictionary prices
              under the key name. If the key is missing, return 0.
            - Create $signature to find the price of a product by its name in a dictionary. Return 0
              for an unknown name.
            - Implement $signature: prices maps names to numbers. Return the number for name, or 0
              if there is none.
        """,
        plan=("Look up name in prices.", "Return the value, or 0 if it is missing."),
        python="return prices.get(name, 0)",
        javascript="return prices[name] ?? 0;",
        draw=each(mapping(integer(1, 30), 5, 9), word()),
        edges=([{}, "tea"], [{"tea": 3}, "tea"], [{"tea": 3}, "cup"]),
    ),
    Family(
        "make_dictionary(keys, values)",
        level=2,
        phrasings="""
            - Write a function $signature that returns a dictionary with the given keys and values.
              Both lists have the same length.
            - Create the function $signature, which maps the first key to the first value, the
              second key to the second value and so on. The two lists are equally long.
            - Implement $signature: combine a list of different strings and an equally long list of
              numbers into a dictionary.
        """,
        plan=("Go through both lists together.", "Store each pair.", "Return the dictionary."),
        python="return dict(zip(keys, values))",
        javascript="""
            const result = {};
            for (let i = 0; i < keys.length; i++) {
              result[keys[i]] = values[i];
            }
            return result;
        """,
        draw=_keys_and_values,
        edges=([[], []], [["a", "b"], [1, 2]]),
    ),
    Family(
        "keys_with_high_values(scores)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the keys of the dictionary scores whose value
              is at least $n, sorted alphabetically.
            - Create $signature: scores maps names to points. Return a sorted list of the names with
              $n or more points.
            - Implement $signature to find everyone who reached $n points. Return the names from the
              dictionary in alphabetical order.
        """,
        grid={"n": (5, 10, 15)},
        plan=("Go through the entries.", "Keep keys with $n or more.", "Return them sorted."),
        python="return sorted(name for name in scores if scores[name] >= $n)",
        javascript="return Object.keys(scores).filter((name) => scores[name] >= $n).sort();",
        draw=each(mapping(integer(0, 20), 2, 6)),
        edges=([{}], [{"eva": 5, "bob": 10, "tim": 15}]),
    ),
    Family(
        "total_value(prices)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the sum of all values of the dictionary
              prices, and 0 if it is empty.
            - Create $signature. prices maps names to numbers; add up the numbers and return the
              total, 0 for no entries.
            - Implement $signature: what do all products of the price dictionary cost together? An
              empty one costs 0.
        """,
        plan=("Take the values.", "Add them.", "Return the sum."),
        python="return sum(prices.values())",
        javascript="return Object.values(prices).reduce((a, b) => a + b, 0);",
        draw=each(mapping(integer(1, 40))),
        edges=([{}], [{"tea": 3, "cup": 4}]),
    ),
    Family(
        "count_each_word(text)",
        level=3,
        phrasings="""
            - Write a function $signature that returns a dictionary with the number of times each
              word appears in text. Single spaces separate the words.
            - Create $signature: split text at its single spaces and count every word in a
              dictionary from word to count.
            - Implement $signature. How often does each word occur? Return a mapping of words to
              numbers; words are separated by one space.
        """,
        plan=("Split text into words.", "Count each in a dictionary.", "Return it."),
        python="""
            counts = {}
            for word in text.split(" "):
                counts[word] = counts.get(word, 0) + 1
            return counts
        """,
        javascript="""
            const counts = {};
            for (const word of text.split(" ")) {
              counts[word] = (counts[word] || 0) + 1;
            }
            return counts;
        """,
        draw=lambda rng, _: [" ".join(rng.choices(("red", "blue", "sun"), k=rng.randint(2, 6)))],
        edges=(["one"], ["a b a"]),
    ),
    Family(
        "group_by_first_letter(words)",
        level=3,
        phrasings="""
            - Write a function $signature that returns a dictionary from each first letter to the
              list of the words that begin with it. No word is empty.
            - Create $signature: group non-empty words by their first character. The values of the
              dictionary keep the order of the list.
            - Implement $signature. For every word, which has at least one letter, add it to the
              list stored under its first letter and return the dictionary.
        """,
        plan=("Go through the words.", "Add each to its letter's list.", "Return the dictionary."),
        python="""
            groups = {}
            for word in words:
                if word[0] not in groups:
                    groups[word[0]] = []
                groups[word[0]].append(word)
            return groups
        """,
        javascript="""
            const groups = {};
            for (const word of words) {
              if (!(word[0] in groups)) {
                groups[word[0]] = [];
              }
              groups[word[0]].push(word);
            }
            return groups;
        """,
        draw=each(words(2, 6)),
        edges=([[]], [["ant", "bee", "ape"]]),
    ),
    Family(
        "read_pairs(s)",
        level=3,
        phrasings="""
            - Write a function $signature to parse pairs of a name and a whole number, joined by
              "$equals" and separated by "$next", into an object from names to numbers. Use regex.
              The empty text gives an empty object.
            - Create $signature, which finds by a regular expression every name$equals number of s,
              pairs being separated by "$next", and returns a dictionary. An empty text has none.
            - Implement $signature: split s at "$next", each part at "$equals", and map the names to
              the whole numbers. The empty string gives an empty mapping.
        """,
        plan=("Split s into pairs.", "Split each pair.", "Map names to numbers."),
        python="""
            pairs = {}
            if s == "":
                return pairs
            for part in s.split("$next"):
                name, number = part.split("$equals")
                pairs[name] = int(number)
            return pairs
        """,
        javascript="""
            const pairs = {};
            if (s === "") {
              return pairs;
            }
            for (const part of s.split("$next")) {
              const [name, number] = part.split("$equals");
              pairs[name] = Number(number);
            }
            return pairs;
        """,
        draw=lambda rng, values: [
            values["next"].join(
                f"{name}{values['equals']}{rng.randint(0, 30)}"
                for name in rng.sample("abcxyz", rng.randint(1, 3))
            )
        ],
        edges=([""],),
        grid={"equals": ("=", ":"), "next": (";", ",")},
    ),
)

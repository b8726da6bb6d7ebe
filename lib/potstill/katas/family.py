"""One family of small programming tasks, and how its instances are written out.

Templates are `string.Template`s: `$n` stands for a value of the grid, so braces in code are plain.
"""

import itertools
import json
import random
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any

from potstill import files
from potstill.katas.draws import Draw, Values

NUM_TESTS = 7
MAX_EQUAL = 4  # tests of one instance with one expected value, so that no constant passes
MAX_DRAWS = 500
_ITEM = re.compile(r"^\s*- ", re.MULTILINE)


@dataclass(frozen=True)
class Family:
    """A task with everything that makes rows of it.

    Families are divided into splits, so two of them must be two different tasks. The split goes by
    the name: a family that is renamed may move to another one.
    """

    signature: str  # in Python's spelling: "add_n(x)"; what stands before "(" names the family
    level: int  # 1 one expression, 2 one loop or condition, 3 a small algorithm, 4 harder
    phrasings: str  # of the request, each after "- " and with $signature in it
    plan: tuple[str, ...]
    python: str  # body of the reference solution
    javascript: str
    draw: Draw  # draws one list of arguments
    edges: tuple[list[Any], ...] = ()  # lists of arguments taken before drawn ones
    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # what the templates are given

    @property
    def name(self) -> str:
        """Return the family's name, which is also the function's in Python."""
        return self.signature.partition("(")[0]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Return the names of the function's arguments."""
        return tuple(self.signature.partition("(")[2].rstrip(")").split(", "))

    @property
    def templates(self) -> list[str]:
        """Return the phrasings one by one, each on one line."""
        return [" ".join(item.split()) for item in _ITEM.split(self.phrasings)[1:]]

    def entry_point(self, language: str) -> str:
        """Return the function's name: add_n in Python, addN in JavaScript."""
        if language == "python":
            return self.name
        head, *tail = self.name.split("_")
        return head + "".join(part.capitalize() for part in tail)

    def instances(self, seed: int, most: int, languages: Sequence[str]) -> list[dict[str, Any]]:
        """Return at most `most` task rows of each language, the same ones for each.

        An instance is a phrasing with a point of the grid. Fewer are the first ones of more.
        """
        keys = list(self.grid)
        points = [
            dict(zip(keys, point, strict=True)) for point in itertools.product(*self.grid.values())
        ]
        chosen = list(itertools.product(self.templates, points))
        random.Random(f"{seed} {self.name}").shuffle(chosen)
        return [
            self._row(language, phrasing, values, self.tests(seed, values))
            for phrasing, values in chosen[:most]
            for language in languages
        ]

    def _row(
        self, language: str, phrasing: str, values: Values, tests: list[dict[str, Any]]
    ) -> dict[str, Any]:
        task = _fill(phrasing, {**values, "signature": self._call(language)})
        return {
            "id": files.row_id("katas", language, task),
            "source": "katas",
            "licence": "Apache-2.0",
            "language": language,
            "family": self.name,
            "level": self.level,
            "task": task,
            "entry_point": self.entry_point(language),
            "plan": [_fill(step, values) for step in self.plan],
            "reference": self.code(language, values),
            "tests": tests,
        }

    def _call(self, language: str) -> str:
        return f"{self.entry_point(language)}({', '.join(self.parameters)})"

    def code(self, language: str, values: Values) -> str:
        """Return the reference solution, without a newline at its end."""
        if language == "python":
            body = _indented(self.python, "    ", values)
            return f"def {self._call(language)}:\n{body}"
        body = _indented(self.javascript, "  ", values)
        return f"function {self._call(language)} {{\n{body}\n}}"

    def tests(self, seed: int, values: Values) -> list[dict[str, Any]]:
        """Return NUM_TESTS calls and what the Python reference returns for them.

        At most MAX_EQUAL of them expect the same value.
        """
        namespace: dict[str, Any] = {}
        exec(self.code("python", values), namespace)  # our own text, never a model's
        rng = random.Random(f"{seed} {self.name} {sorted(values.items())}")
        drawn = (self.draw(rng, values) for _ in range(MAX_DRAWS))
        tests: dict[str, dict[str, Any]] = {}
        equal: Counter[str] = Counter()
        for args in itertools.chain(self.edges, drawn):
            key = json.dumps(args)
            expected = json.dumps(namespace[self.name](*json.loads(key)), allow_nan=False)
            if key not in tests and equal[expected] < MAX_EQUAL:
                equal[expected] += 1
                tests[key] = {"args": json.loads(key), "expected": json.loads(expected)}
            if len(tests) == NUM_TESTS:
                return list(tests.values())
        raise AssertionError(f"{self.name}: too few different tests for {values}")


def _fill(template: str, values: Values) -> str:
    return Template(template).substitute(values)


def _indented(body: str, indent: str, values: Values) -> str:
    return textwrap.indent(_fill(textwrap.dedent(body).strip(), values), indent)

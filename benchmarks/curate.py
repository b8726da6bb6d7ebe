"""Rows a second and memory of `curate` without execution, on generated functions.

60 % Python and 40 % JavaScript of about 300 characters, as JSONL, through the real functions: size,
subset, benchmark n-grams, whole and near copies, all files. One row in ten nearly repeats an
earlier one, one in a hundred is a whole copy, one in twenty lies outside the subset; what the
counts say of these is checked. Each size runs in a process of its own; memory is the sum of the
resident memory of all its processes, read ten times a second, so what they share counts for each.

Usage: python benchmarks/curate.py [rows ...]; by default 10,000 and 100,000.
"""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from potstill import files, sandbox
from potstill.curation import contamination, curation, shards
from potstill.tasks.where import Where
from potstill.testing.execution import Execution

SIZES = (10_000, 100_000)
GOAL, MEMORY_GOAL_MB = 3000, 1000
WORKERS = 2
_WORDS = [a + b for a in "bdfghjkmnprtvwz" for b in ("alin", "emar", "itos", "okep", "urun")]
# What requests are told in: of made-up words they would be told in no language.
_ENGLISH = (
    "return the sum of all numbers that are larger than a given limit and smaller than another one "
    "count how often each word of a text is found in it then sort them by their length or order "
    "take every second value from the list until there is none left without changing what it held "
    "join two tables whose keys match keep the first row where several have the same name"
)
_CODE = {
    "python": """def {f}({a}, {b}={n}):
    {c} = []
    for {d}, value in enumerate({a}):
        if value % {m} == {r} and {d} > {b}:
            {c}.append((value * {n} + {d}) // {m})
        elif value < -{n}:
            {c}.append(abs(value) - {b})
    return sorted({c})[:{k}] or [sum({a}, {n})]""",
    "javascript": """function {f}({a}, {b} = {n}) {{
  const {c} = [];
  for (let {d} = 0; {d} < {a}.length; {d} += 1) {{
    if ({a}[{d}] % {m} === {r} && {d} > {b}) {{
      {c}.push({a}[{d}] * {n} + {d} - {m});
    }} else if ({a}[{d}] < -{n}) {{
      {c}.push(Math.abs({a}[{d}]) - {b});
    }}
  }}
  return {c}.slice(0, {k});
}}""",
}
_OUTSIDE = {"python": "import os\n", "javascript": "class Outside {}\n"}


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Yield generated rows."""
    source = random.Random(0)
    kept: list[dict[str, Any]] = []
    for number in range(count):
        kind = number % 100
        if kept and kind == 50:
            row = {**kept[-1], "id": f"{number:016x}"}
        elif kept and kind % 10 == 9:
            row = source.choice(kept)
            row = {**row, "task": row["task"] + " Please.", "id": f"{number:016x}"}
            row["group"] = f"place:{number}"
        else:
            row = _row(number, source)
            row["code"] = (_OUTSIDE[row["language"]] if kind % 20 == 7 else "") + row["code"]
            if kind % 20 != 7:
                kept = [*kept[-99:], row]
        yield row


def _row(number: int, source: random.Random) -> dict[str, Any]:
    language = "python" if number % 5 < 3 else "javascript"
    names = dict(zip("fabcd", source.sample(_WORDS, 5), strict=True))
    numbers = {key: source.randrange(2, 10_000) for key in "nmrk"}
    words = " ".join(source.choices(_ENGLISH.split(), k=24))
    return {
        "id": f"{number:016x}",
        "origin": "reference",
        "licence": "MIT",
        "language": language,
        "group": f"place:{number}",
        "task": f"Write a function {names['f']}. {words}.",
        "plan": [],
        "tests": None,
        "reference": None,
        "code": _CODE[language].format(**names, **numbers),
    }


class Memory(threading.Thread):
    """Reads the resident memory of this process and all below it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb, self.is_over = 0.0, False

    def run(self) -> None:
        """Read until it is over."""
        own = psutil.Process()
        while not self.is_over:
            total = 0
            for each in (own, *own.children(recursive=True)):
                try:
                    total += each.memory_info().rss
                except psutil.Error:
                    continue
            self.peak_mb = max(self.peak_mb, total / 2**20)
            time.sleep(0.1)


def measure(count: int) -> dict[str, Any]:
    """Curate so many rows; return rate, memory and counts."""
    texts = contamination.known(Where({}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files.write_jsonl(folder / "rows.jsonl", rows(count))
        (folder / "scratch").mkdir()
        memory = Memory()
        memory.start()
        started = time.perf_counter()
        counts = curation.curate(
            files.read_jsonl(folder / "rows.jsonl"),
            rules=shards.Rules("edgecoder", 800, [], contamination.Benchmarks(texts, 12, 0.8)),
            heldout=[],
            settings=curation.Settings(
                near_duplicate=0.7,
                min_quality=0.0,
                answers_per_task=2,
                max_answer_ratio=2.0,
                engine="local",
            ),
            execution=Execution(sandbox.Limits(), WORKERS, "minimum"),
            out=folder / "out",
            scratch=folder / "scratch",
        )
        seconds = time.perf_counter() - started
        memory.is_over = True
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "rows": count,
        "seconds": round(seconds, 1),
        "rows_per_second": round(count / seconds),
        "peak_rss_mb": round(memory.peak_mb),
        "disk_bytes_per_row": disk // count,
        **counts,
    }


def main() -> None:
    """Measure each size in a fresh process and print one line."""
    sizes = list(map(int, sys.argv[1:])) or SIZES
    if len(sizes) == 1:
        print(json.dumps(measure(sizes[0])))
        return
    curve = []
    for size in sizes:
        run = subprocess.run(
            [sys.executable, __file__, str(size)], capture_output=True, text=True, check=True
        )
        curve.append(json.loads(run.stdout))
    planted = [each["rejected_near_duplicate"] / each["rows"] for each in curve]
    print(json.dumps({
        "claim": f"curation of generated functions without execution, {WORKERS} processes",
        "n": len(curve), "unit": "rows a second", "value": curve[-1]["rows_per_second"],
        "goal": GOAL, "memory_mb": [each["peak_rss_mb"] for each in curve],
        "memory_goal_mb": MEMORY_GOAL_MB, "near_copies_found": [round(x, 4) for x in planted],
        "curve": curve,
    }))  # fmt: skip


if __name__ == "__main__":
    main()

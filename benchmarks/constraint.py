"""What a JSON schema costs: tokens/s of answers under it against the same prompts without.

`python -m benchmarks.constraint models/artefacts/kd-q8_0` prints two lines of JSON. The sides run
in turn, sampled at temperature 1, in batches. Answers without the schema are made as long as those
under it, end tokens or not; reading the prompts is part of both times, compiling the schema, once a
process, of neither. Every constrained answer is held against the schema.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from potstill import runtime
from potstill.models.chat import ChatTokenizer
from potstill.runtime import Answer, Constraint, Request, Runtime, Sampling

LARGEST_COST = 0.15  # of tokens/s
NUM_PROMPTS, MAX_TOKENS, TURNS, THREADS = 32, 400, 3, 2
KINDS = ["file", "web", "shell"]
SCHEMA = {
    "type": "object",
    "properties": {
        "tool": {"enum": KINDS},
        "path": {"type": "string", "maxLength": 40},
        "lines": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 999},
            "maxItems": 4,
        },
        "dry_run": {"type": "boolean"},
    },
    "required": ["tool", "path", "lines", "dry_run"],
    "additionalProperties": False,
}


def is_valid(answer: Answer) -> bool:
    """Say whether an answer is whole JSON of the schema."""
    try:
        found = json.loads(answer.text)
    except ValueError:
        return False
    return (
        list(found) == SCHEMA["required"]
        and found["tool"] in KINDS
        and isinstance(found["path"], str)
        and len(found["path"]) <= 40
        and len(found["lines"]) <= 4
        and all(type(line) is int for line in found["lines"])
        and type(found["dry_run"]) is bool
    )


def run(
    model: Runtime, prompts: Sequence[list[int]], lengths: Sequence[int], schema: str | None
) -> tuple[float, list[Answer]]:
    """Return tokens a second, and the answers."""
    constraint = None if schema is None else Constraint("json_schema", schema)
    requests = [
        Request(ids, length, Sampling(temperature=1.0), constraint=constraint)
        for ids, length in zip(prompts, lengths, strict=True)
    ]
    started = time.perf_counter()
    answers = model.generate(requests)
    seconds = time.perf_counter() - started
    return sum(len(answer.ids) for answer in answers) / seconds, answers


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artefact", type=Path)
    artefact = parser.parse_args().artefact
    chat = ChatTokenizer(artefact)
    asked = [f"Call a tool that shows lines {n} to {n + 9} of a file." for n in range(NUM_PROMPTS)]
    prompts = [chat.encode(chat.render([{"role": "user", "content": text}])) for text in asked]
    schema, longest = json.dumps(SCHEMA), [MAX_TOKENS] * NUM_PROMPTS
    rates: dict[bool, list[float]] = {True: [], False: []}
    valid: list[bool] = []
    with closing(runtime.load(artefact, threads=THREADS)) as model:
        run(model, prompts[:1], longest[:1], schema)
        stop_ids = model.stop_ids
        for _ in range(TURNS):
            rate, answers = run(model, prompts, longest, schema)
            rates[True].append(rate)
            valid += map(is_valid, answers)
            model.stop_ids = frozenset()
            rate, _ = run(model, prompts, [len(answer.ids) for answer in answers], None)
            rates[False].append(rate)
            model.stop_ids = stop_ids
    value, reference = (statistics.median(rates[held]) for held in (True, False))
    emit("tokens/s under a JSON schema", value, reference, "without", 1 - LARGEST_COST)
    emit("answers that are JSON of the schema", statistics.mean(valid), 1.0, "all answers", 1.0)


def emit(claim: str, value: float, reference_value: float, reference: str, goal: float) -> None:
    """Print a claim as a line of JSON."""
    row = {
        "claim": f"{claim}; {NUM_PROMPTS} prompts, {TURNS} turns, {THREADS} threads",
        "value": value,
        "reference": reference,
        "reference_value": reference_value,
        "ratio": value / reference_value,
        "goal": goal,
        "better": "higher",
    }
    sys.stdout.write(f"{json.dumps(row, sort_keys=True)}\n")


if __name__ == "__main__":
    main()

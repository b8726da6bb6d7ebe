"""Asking a teacher: many prompts at a time against one, here and through an endpoint.

    python -m benchmarks.sampling models/artefacts/kd-q8_0

Here: the llama.cpp back end against the same runtime that is given one prompt after the other; both
load the model in their time. Through an endpoint: the back end `Remote` against the server's own
throughput, which is what the simplest concurrent client gets from it: as many threads as the back
end has, each posting the next of the same bodies with httpx, and no retries, pace, budget or
progress. The server is llama-cpp-python's, a process of its own, which answers one request at a
time. The sides run in turn. Prints one line of JSON for each claim.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
from potstill import runtime
from potstill.export import build
from potstill.models import formats
from potstill.models.chat import ChatTokenizer
from potstill.sampling import llama_cpp
from potstill.sampling.endpoint import Endpoint, Remote
from potstill.sampling.sampling import Answer, Backend, Prompt

from benchmarks.llama_server import serve

THREADS, CONTEXT, CONCURRENCY = 2, 1024, 4
GOAL_BATCHED, GOAL_ENDPOINT = 1.8, 0.9
WORDS = ("sum", "mean", "largest", "smallest", "product", "range", "median", "count")
HOW = {"temperature": 0.0, "seed": 0}


def prompts(count: int) -> list[Prompt]:
    """Return tasks that differ from their first words on."""
    tasks = (
        f"{'Write' if n % 2 else 'Create'} a function f{n}(xs) that returns the {word} of the "
        f"first {n + 2} numbers of the list xs."
        for n, word in ((n, WORDS[n % len(WORDS)]) for n in range(count))
    )
    return [Prompt(f"p{n}", formats.code_prompt(task, "python")) for n, task in enumerate(tasks)]


def asked(backend: Backend, wanted: Sequence[Prompt]) -> tuple[int, float]:
    """Return the tokens of a back end's answers, and seconds."""
    answers: dict[int, Answer] = {}
    started = time.perf_counter()
    backend.ask(wanted, answers.__setitem__)
    seconds = time.perf_counter() - started
    assert len(answers) == len(wanted), f"{len(answers)} answers to {len(wanted)} prompts"
    return sum(answer.tokens[1] for answer in answers.values()), seconds


def one_by_one(artefact: Path, wanted: Sequence[Prompt], max_tokens: int) -> tuple[int, float]:
    """Return the tokens and seconds of the same requests, one after the other."""
    started = time.perf_counter()
    chat = ChatTokenizer(artefact)
    requests = [
        runtime.Request(
            chat.encode(chat.render(each.messages)), max_tokens, until=formats.has_closed_block
        )
        for each in wanted
    ]
    with closing(runtime.load(artefact, threads=THREADS, context=CONTEXT)) as model:
        tokens = sum(len(model.generate([request])[0].ids) for request in requests)
    return tokens, time.perf_counter() - started


def plain_client(url: str, wanted: Sequence[Prompt], max_tokens: int) -> tuple[int, float]:
    """Return the tokens and seconds of the simplest concurrent client."""
    bodies = [
        {"model": "m", "messages": each.messages, "max_tokens": max_tokens, **HOW}
        for each in wanted
    ]
    with httpx.Client(timeout=120) as client, ThreadPoolExecutor(CONCURRENCY) as threads:

        def post(body: dict[str, object]) -> int:
            reply = client.post(f"{url}/chat/completions", json=body).raise_for_status()
            return int(reply.json()["usage"]["completion_tokens"])

        started = time.perf_counter()
        tokens = sum(threads.map(post, bodies))
        return tokens, time.perf_counter() - started


def report(
    claim: str, reference: str, turns: Sequence[tuple[tuple[int, float], ...]], goal: float
) -> None:
    """Print one claim: medians of tokens a second, and the median of the turns' ratios."""
    rates = [tuple(tokens / seconds for tokens, seconds in turn) for turn in turns]
    ratios = [value / other for value, other in rates]
    line = {
        "claim": claim,
        "value": round(statistics.median(value for value, _ in rates), 1),
        "unit": "tokens/s",
        "reference": reference,
        "reference_value": round(statistics.median(other for _, other in rates), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "goal": goal,
        "better": "higher",
        "n": len(turns),
    }
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure both back ends and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    wanted, how = prompts(given.prompts), HOW | {"max_tokens": given.max_tokens}
    # An artefact has a checkpoint's tokenizer; its file is taken as it is instead of made again.
    build.build = lambda source, out, **_: out.symlink_to(source.resolve())
    here = llama_cpp.LlamaCpp(given.artefact, threads=THREADS, **how)
    what = f"{given.prompts} prompts, at most {given.max_tokens} tokens each, {THREADS} threads"
    report(
        f"llama.cpp back end: {what}",
        "one prompt at a time",
        [
            (asked(here, wanted), one_by_one(given.artefact, wanted, given.max_tokens))
            for _ in range(given.turns)
        ],
        GOAL_BATCHED,
    )
    with serve(Path(sys.executable), given.artefact, context=CONTEXT, threads=THREADS) as url:
        remote = Remote(Endpoint(url=url, model="m", concurrency=CONCURRENCY), **how)
        plain_client(url, wanted[:2], given.max_tokens)
        report(
            f"endpoint back end: {what}, {CONCURRENCY} requests at a time",
            "the simplest concurrent client",
            [
                (asked(remote, wanted), plain_client(url, wanted, given.max_tokens))
                for _ in range(given.turns)
            ],
            GOAL_ENDPOINT,
        )


if __name__ == "__main__":
    main()

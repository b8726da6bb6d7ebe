"""What a cache of 8 or 4 bits loses and saves, against that of float16 of the same artefact.

    python -m benchmarks.kv_cache ARTEFACT [--rows data/tokens/validation.arrow]
        [--texts 8] [--length 2048] [--turns 3]

Each kind reads the same ids. Lines of `loss`: KL(float16 || kind) in nats a token, the share of
tokens whose likeliest next one is the same, and the perplexity over float16's, on the answers of
held-out rows and on long texts (modules of Python's standard library) by where in the text a token
stands; 95 % over the rows' families, or over texts. Lines of `cost`, as `export` measures it,
behind a short prompt and a long one: medians of the turns, ratios to float16's of the same turn.
"""

import argparse
import json
import statistics as medians
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from potstill import files, runtime, statistics
from potstill.models import checkpoint, gguf_header
from potstill.models.chat import ChatTokenizer
from potstill.proving import latency
from potstill.runtime import artifact, llama_cache
from potstill.tokens import table
from scipy.special import log_softmax

KINDS = list(llama_cache.TYPES)  # float16 first
THREADS, GENERATED, REPEATS, SHORT = 2, 64, 2, 64
PARTS = 4  # of a long text, in which losses are told apart
WHAT = {"tokens_per_s_p50": "tokens/s", "ttft_ms_p50": "ms", "peak_rss_mb": "MB"}


@dataclass(frozen=True)
class Text:
    """Ids, and the places whose logits count; texts of one group are not independent."""

    name: str
    group: str
    ids: list[int]
    places: list[int]


def held_out(path: Path, chat: ChatTokenizer) -> list[Text]:
    """Return the rows of a file of tokens, of which the places before the answers' tokens count."""
    return [
        Text(
            "rows", row.group, list(row.ids), [n - 1 for a, b in row.places() for n in range(a, b)]
        )
        for row in table.open(path, chat)
    ]


def long_texts(chat: ChatTokenizer, count: int, length: int) -> Iterator[Text]:
    """Yield parts of the beginnings of modules that are long enough, by name."""
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    encoded = ((path.name, chat.encode(path.read_text(encoding="utf-8"))) for path in modules)
    enough = ((name, ids[:length]) for name, ids in encoded if len(ids) > length)
    bounds = np.linspace(0, length - 1, PARTS + 1).astype(int).tolist()
    for module, ids in islice(enough, count):
        for start, end in pairwise(bounds):
            yield Text(f"ids {start} to {end} of {length}", module, ids, list(range(start, end)))


def read(artefact: Path, ids: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
    """Yield the log-probabilities [T, V] behind every id of each sequence."""
    longest = max(map(len, ids))
    with closing(runtime.load(artefact, threads=THREADS, context=longest)) as model:
        for one in ids:
            yield log_softmax(model.logits(one).astype(np.float64), -1)


def losses(variants: Sequence[Path], texts: Sequence[Text]) -> Iterator[dict[str, object]]:
    """Yield a line for each name of texts and each kind of cache but float16."""
    sequences = list({tuple(text.ids): None for text in texts})
    found: dict[tuple[str, str], list[tuple[str, int, float, int, float]]] = {}
    for both in zip(*(read(variant, sequences) for variant in variants), [*sequences], strict=True):
        *scores, ids = both
        for text in (text for text in texts if tuple(text.ids) == ids):
            at, labels = text.places, [ids[place + 1] for place in text.places]
            whole_NV = scores[0][at]
            for kind, own_TV in zip(KINDS[1:], scores[1:], strict=True):
                own_NV = own_TV[at]
                found.setdefault((text.name, kind), []).append(
                    (
                        text.group,
                        len(at),
                        float((np.exp(whole_NV) * (whole_NV - own_NV)).sum()),
                        int((whole_NV.argmax(-1) == own_NV.argmax(-1)).sum()),
                        float((whole_NV - own_NV)[range(len(at)), labels].sum()),
                    )
                )
    for (name, kind), rows in found.items():
        groups, tokens, kl, same, nats = (list(column) for column in zip(*rows, strict=True))
        more = statistics.cluster_ratio(nats, tokens, groups)
        yield {
            "loss": name,
            "cache": kind,
            **told("kl", statistics.cluster_ratio(kl, tokens, groups)),
            **told("same", statistics.cluster_ratio(same, tokens, groups)),
            **told("perplexity_ratio", np.exp(more[:3]).tolist()),
            "n": len(rows),
            "tokens": sum(tokens),
        }


def told(name: str, found: Sequence[float]) -> dict[str, float]:
    """Return a value with its interval, rounded."""
    keys = (name, f"{name}_low", f"{name}_high")
    return {key: float(f"{value:.5g}") for key, value in zip(keys, found, strict=False)}


def costs(variants: Sequence[Path], prompt: int, turns: int) -> Iterator[dict[str, object]]:
    """Yield a line for each kind of cache and each cost, behind a prompt of so many ids."""
    how = latency.Settings(prompt_tokens=prompt, tokens=GENERATED, repeats=REPEATS,
                           threads=THREADS, timeout_s=300)  # fmt: skip
    measured = [[latency.measure(one, how) for one in variants] for _ in range(turns)]
    for key, unit in WHAT.items():
        columns = [[float(cost[key]) for cost in turn] for turn in measured]
        for place, kind in enumerate(KINDS):
            ratios = sorted(turn[place] / turn[0] for turn in columns)
            yield {
                "cost": key.removesuffix("_p50"),
                "cache": kind,
                "prompt": prompt,
                "value": medians.median(turn[place] for turn in columns),
                "unit": unit,
                "ratio": round(medians.median(ratios), 3),
                "ratios": [round(ratios[0], 3), round(ratios[-1], 3)],
                "n": turns,
            }


def stated(artefact: Path, kind: str, out: Path) -> Path:
    """Make an artefact of the same files that states a kind of cache."""
    description = artifact.verify(artefact)
    out.mkdir()
    for name in description["files"]:
        checkpoint.link(artefact / name, out / name, hard=False)
    files.write_json(out / artifact.NAME, description | {"cache": kind})
    return out


def main() -> None:
    """Print a JSON line for each loss and each cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--rows", type=Path, default=Path("data/tokens/validation.arrow"))
    parser.add_argument("--texts", type=int, default=8, help="long ones; 0 for none")
    parser.add_argument("--length", type=int, default=2048, help="ids of each")
    parser.add_argument("--turns", type=int, default=3, help="of measuring costs; 0 for none")
    given = parser.parse_args()
    chat = ChatTokenizer(given.artefact)
    with tempfile.TemporaryDirectory() as folder:
        variants = [stated(given.artefact, kind, Path(folder) / kind) for kind in KINDS]
        header = gguf_header.check_model(variants[0] / artifact.read(variants[0])["model_file"])
        sizes = [llama_cache.bytes_per_id(kind, header) for kind in KINDS]
        for kind, size in zip(KINDS, sizes, strict=True):
            line = {"cost": "bytes_per_id", "cache": kind, "value": size}
            print(json.dumps(line | {"ratio": round(size / sizes[0], 3)}), flush=True)
        texts = [*held_out(given.rows, chat), *long_texts(chat, given.texts, given.length)]
        for line in losses(variants, texts):
            print(json.dumps(line), flush=True)
        for prompt in (SHORT, given.length - GENERATED) if given.turns else ():
            for line in costs(variants, prompt, given.turns):
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

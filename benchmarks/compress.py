"""What compression costs a student: each method beside its plain control, through the runtime.

    python -m benchmarks.compress [--run .] [--student kd] [--split test] [--rows 128]
        [--methods importance mixed gptq] [--quantisations q4_k_m q4_0 ...]
        [--beside kd_tuned=q4_0 ...]

After a run: its student is compressed (`potstill.compress`, calibrated on training rows), exported,
and read by llama.cpp over held-out rows. KL(checkpoint in float32 || artefact) in nats an answer
token; a ratio is to the control that stands beside it, over the same rows. Both with intervals of
95 % over the rows' families. `mixed` gets the bytes of the control's file, and `gptq` rounds to the
types that it chose. `--beside` names students that the run has compressed already, to be stored as
they state, each with its control. Choices are made on validation rows, results are read on test.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from potstill import runtime, statistics
from potstill.compress import METHODS
from potstill.compress.recipe import Compression
from potstill.compress.work import Work
from potstill.export import build
from potstill.loading.load import ReferenceModel
from potstill.models.chat import ChatTokenizer
from potstill.tokens import table
from potstill.tokens.examples import Example

QUANTISATIONS = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_nl", "q4_0", "iq4_xs")
TRIED = ("importance", "mixed", "gptq")
SMALL = ("q4_k_m", "iq4_nl", "q4_0", "iq4_xs")  # that the methods are for


@dataclass(frozen=True)
class Made:
    """An artefact.

    Attributes:
        name: method and quantisation.
        control: the name that it is compared with, if any.
        folder: where it lies.
        seconds: of compressing.
    """

    name: str
    control: str | None
    folder: Path
    seconds: float = 0.0

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return (self.folder / "model.gguf").stat().st_size


def made(given: argparse.Namespace, scratch: Path) -> Iterator[Made]:
    """Yield every artefact when it is its turn."""
    source = given.run / "models/students" / given.student

    def export(checkpoint: Path, name: str, quantisation: str) -> Path:
        out = scratch / name
        build.build(checkpoint, out, format="gguf", quantisation=quantisation)
        return out

    def compress(
        name: str,
        checkpoint: Path = source,
        **method: Any,  # noqa: ANN401 - as the recipe has it
    ) -> tuple[Path, float]:
        recipe = Compression(checkpoint=given.student, method=method, calibration_rows=given.rows,
                             batch_rows=8, threads=2, seed=0)  # fmt: skip
        own = scratch / f"scratch-{name}"
        own.mkdir()
        begun = time.perf_counter()
        METHODS[method["kind"]].compress(
            Work(recipe, checkpoint, given.run / "data/tokens", scratch / f"{name}-weights", own)
        )
        return scratch / f"{name}-weights", time.perf_counter() - begun

    sizes = {}
    for quantisation in given.quantisations:
        plain = Made(quantisation, None, export(source, quantisation, quantisation))
        sizes[quantisation] = plain.num_bytes
        yield plain
    small = [name for name in given.quantisations if name in SMALL]
    if "importance" in given.methods:
        known, seconds = compress("importance", kind="importance")
        for quantisation in small:
            name = f"importance {quantisation}"
            yield Made(name, quantisation, export(known, name, quantisation), seconds)
    for quantisation in small if "mixed" in given.methods else ():
        name = f"mixed {quantisation}"
        types, choosing = compress(f"types {name}", kind="mixed", bytes=sizes[quantisation])
        found, seconds = compress(name, types, kind="gptq", quantisation="stated")
        yield Made(name, quantisation, export(found, name, "stated"), choosing + seconds)
    for quantisation in small if "gptq" in given.methods else ():
        name = f"gptq {quantisation}"
        found, seconds = compress(name, kind="gptq", quantisation=quantisation)
        yield Made(name, quantisation, export(found, name, "stated"), seconds)
    for student, control in given.beside:
        yield Made(student, control, export(source.with_name(student), student, "stated"))


def pair(text: str) -> tuple[str, str]:
    """Return a student and the quantisation that it is compared with."""
    student, _, control = text.partition("=")
    if control not in QUANTISATIONS:
        raise argparse.ArgumentTypeError(f"{text!r}: STUDENT=CONTROL, one of {QUANTISATIONS}")
    return student, control


def log_probs(logits_TV: np.ndarray, row: Example) -> np.ndarray:
    """Return the log-probabilities [N, V] at the places that predict a row's answer."""
    places = [at - 1 for start, end in row.places() for at in range(start, end)]
    found_NV = logits_TV[places].astype(np.float64)
    found_NV -= found_NV.max(-1, keepdims=True)
    return found_NV - np.log(np.exp(found_NV).sum(-1, keepdims=True))


def divergences(folder: Path, rows: Sequence[Example], whole: Sequence[np.ndarray]) -> list[float]:
    """Return KL(whole || artefact) of each row's answer, in nats."""
    model = runtime.load(folder, threads=2, context=1024)
    found = []
    for row, whole_NV in zip(rows, whole, strict=True):
        own_NV = log_probs(model.logits(row.ids), row)[:, : whole_NV.shape[1]]
        found.append(float((np.exp(whole_NV) * (whole_NV - own_NV)).sum()))
    return found


def main() -> None:
    """Print a JSON line for each artefact."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path())
    parser.add_argument("--student", default="kd")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--rows", type=int, default=128, help="to calibrate on, and held-out ones")
    parser.add_argument(
        "--quantisations", nargs="+", choices=QUANTISATIONS, default=list(QUANTISATIONS)
    )
    parser.add_argument("--methods", nargs="*", choices=TRIED, default=list(TRIED))
    parser.add_argument("--beside", nargs="+", type=pair, default=[], metavar="STUDENT=CONTROL")
    given = parser.parse_args()
    for student, control in given.beside:
        if control not in given.quantisations:
            parser.error(f"--beside {student}={control}: --quantisations has no {control}")
    source = given.run / "models/students" / given.student
    chat = ChatTokenizer(source)
    path = given.run / f"data/tokens/{given.split}.arrow"
    rows = list(table.open(path, chat))[: given.rows]
    reference = ReferenceModel(source, 2)
    whole = [log_probs(reference.logits(row.ids), row) for row in rows]
    tokens, groups = [len(one) for one in whole], [row.group for row in rows]
    seen: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for item in made(given, Path(folder)):
            own = seen[item.name] = divergences(item.folder, rows, whole)
            kl = statistics.cluster_ratio(own, tokens, groups)
            found = {"name": item.name, "bytes": item.num_bytes, "kl": kl.value, "kl_low": kl.low,
                     "kl_high": kl.high, "seconds": round(item.seconds, 1)}  # fmt: skip
            if item.control:
                ratio = statistics.cluster_ratio(own, seen[item.control], groups)
                found |= {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
            found |= {"n": len(rows), "tokens": sum(tokens)}
            print(json.dumps({k: round(v, 6) if isinstance(v, float) else v
                              for k, v in found.items()}), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

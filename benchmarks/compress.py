"""What compression costs a student: each method beside its plain control, through the runtime.

    python -m benchmarks.compress [--run .] [--student kd] [--split test] [--rows 128]
        [--methods importance mixed gptq oneshot] [--quantisations q4_k_m q4_0 ...]
        [--group 64] [--beside kd_tuned=q4_0 ...]

After a run: its student is compressed (`potstill.compress`, calibrated on training rows), exported,
and read by llama.cpp over held-out rows. KL(checkpoint in float32 || artefact) in nats an answer
token; a ratio is to the control that stands beside it, over the same rows. Both with intervals of
95 % over the rows' families. `mixed` gets the bytes of the control's file, and `gptq` rounds to the
types that it chose; `oneshot` has rounding to the nearest of its own format as control, which
transformers reads. `--beside` names students that the run has compressed already, to be stored as
they state, each with its control. Choices are made on validation rows, results are read on test.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from potstill import runtime, statistics
from potstill.compress import METHODS
from potstill.compress.recipe import Compression, Oneshot
from potstill.compress.work import Work
from potstill.export import build
from potstill.loading.load import ReferenceModel
from potstill.models.chat import ChatTokenizer
from potstill.runtime import artifact
from potstill.tokens import table
from potstill.tokens.examples import Example
from scipy.special import log_softmax

QUANTISATIONS = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_nl", "q4_0", "iq4_xs")
TRIED = ("importance", "mixed", "gptq", "oneshot")
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
        description = artifact.read(self.folder)
        size: int = description["files"][description["model_file"]]["bytes"]
        return size


def compress(
    given: argparse.Namespace,
    scratch: Path,
    name: str,
    checkpoint: Path | None = None,
    **method: Any,  # noqa: ANN401 - as the recipe has it
) -> tuple[Path, float]:
    """Return the compressed checkpoint, of the student where none is given, and the seconds."""
    recipe = Compression(checkpoint=given.student, method=method, calibration_rows=given.rows,
                         batch_rows=8, threads=2, seed=0)  # fmt: skip
    own, out = scratch / f"scratch-{name}", scratch / f"{name}-weights"
    own.mkdir()
    begun = time.perf_counter()
    METHODS[method["kind"]].compress(
        Work(recipe, checkpoint or source(given), given.run / "data/tokens", out, own)
    )
    return out, time.perf_counter() - begun


def source(given: argparse.Namespace) -> Path:
    """Return the checkpoint that is compressed."""
    folder: Path = given.run / "models/students" / given.student
    return folder


def gguf(checkpoint: Path, quantisation: str, out: Path) -> Path:
    """Write a GGUF artefact and return its folder."""
    build.build(checkpoint, out, format="gguf", quantisation=quantisation)
    return out


def of_gguf(given: argparse.Namespace, scratch: Path) -> Iterator[Made]:
    """Yield every GGUF artefact when it is its turn."""
    sizes = {}
    for quantisation in given.quantisations:
        out = gguf(source(given), quantisation, scratch / quantisation)
        plain = Made(quantisation, None, out)
        sizes[quantisation] = plain.num_bytes
        yield plain
    small = [name for name in given.quantisations if name in SMALL]
    if "importance" in given.methods:
        known, seconds = compress(given, scratch, "importance", kind="importance")
        for quantisation in small:
            name = f"importance {quantisation}"
            yield Made(name, quantisation, gguf(known, quantisation, scratch / name), seconds)
    for quantisation in small if "mixed" in given.methods else ():
        name = f"mixed {quantisation}"
        types, choosing = compress(
            given, scratch, f"types {name}", kind="mixed", bytes=sizes[quantisation]
        )
        found, seconds = compress(given, scratch, name, types, kind="gptq", quantisation="stated")
        yield Made(name, quantisation, gguf(found, "stated", scratch / name), choosing + seconds)
    for quantisation in small if "gptq" in given.methods else ():
        name = f"gptq {quantisation}"
        found, seconds = compress(given, scratch, name, kind="gptq", quantisation=quantisation)
        yield Made(name, quantisation, gguf(found, "stated", scratch / name), seconds)
    for student, control in given.beside:
        found = source(given).with_name(student)
        yield Made(student, control, gguf(found, "stated", scratch / student))


def packed(given: argparse.Namespace, scratch: Path) -> Iterator[Made]:
    """Yield every artefact of llmcompressor's schemes when it is its turn."""
    for scheme in get_args(Oneshot.model_fields["scheme"].annotation):
        found, seconds = compress(
            given, scratch, scheme, kind="oneshot", scheme=scheme, group=given.group
        )
        out = scratch / scheme
        build.build(found, out, format="compressed_tensors", quantisation="stated")
        control = None if scheme.startswith("rtn") else f"rtn_{scheme.rpartition('_')[2]}"
        yield Made(scheme, control, out, seconds)


def pair(text: str) -> tuple[str, str]:
    """Return a student and the quantisation that it is compared with."""
    student, _, control = text.partition("=")
    if control not in QUANTISATIONS:
        raise argparse.ArgumentTypeError(f"{text!r}: STUDENT=CONTROL, one of {QUANTISATIONS}")
    return student, control


def log_probs(logits_TV: np.ndarray, row: Example) -> np.ndarray:
    """Return the log-probabilities [N, V] at the places that predict a row's answer."""
    places = [at - 1 for start, end in row.places() for at in range(start, end)]
    found_NV: np.ndarray = log_softmax(logits_TV[places].astype(np.float64), -1)
    return found_NV


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
    parser.add_argument("--group", type=int, default=64, help="columns a scale, of oneshot")
    parser.add_argument("--beside", nargs="+", type=pair, default=[], metavar="STUDENT=CONTROL")
    given = parser.parse_args()
    for student, control in given.beside:
        if control not in given.quantisations:
            parser.error(f"--beside {student}={control}: --quantisations has no {control}")
    chat = ChatTokenizer(source(given))
    path = given.run / f"data/tokens/{given.split}.arrow"
    rows = list(table.open(path, chat))[: given.rows]
    reference = ReferenceModel(source(given), 2)
    whole = [log_probs(reference.logits(row.ids), row) for row in rows]
    tokens, groups = [len(one) for one in whole], [row.group for row in rows]
    seen: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        last = packed(given, Path(folder)) if "oneshot" in given.methods else ()
        for item in itertools.chain(of_gguf(given, Path(folder)), last):
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

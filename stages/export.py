"""Export a checkpoint to one format and quantisation, then prove it in its own runtime.

Reads   checkpoint  Hugging Face folder
        reference   what that checkpoint computes on validation rows (record_reference)
Writes  out         artefact: model files, tokenizer, artifact.json with SHA-256 of each file
        metrics     format, quantisation, bytes, parameters;
                    parity: verdict (pass | fail | not-run) with its reason, agreement, KL;
                    latency: load, first token, tokens a second, memory, timed in a fresh process;
                    the only figures of the pipeline that vary by run
"""

from pathlib import Path
from typing import Any

from potstill import stage
from potstill.errors import MissingPackageError
from potstill.export import build
from potstill.params import Section
from potstill.proving import latency, parity


class Params(Section):
    """Settings of one of `export`, with what all share from `proving`."""

    checkpoint: str  # folder below models/, taken from here by dvc.yaml as well
    format: str  # a key of potstill.export.FORMATS
    quantisation: str  # one of that format's QUANTISATIONS
    tasks: dict[str, int]  # what score asks of it; nothing here depends on them
    parity: parity.Settings
    latency: latency.Settings


def main(params: Params, *, checkpoint: Path, reference: Path, out: Path) -> dict[str, Any]:
    """Build, compare, time; a runtime that is not installed here is reported as not run."""
    made = build.build(checkpoint, out, format=params.format, quantisation=params.quantisation)
    metrics: dict[str, Any] = {
        "format": params.format,
        "quantisation": params.quantisation,
        "checkpoint": params.checkpoint,
        "bytes": sum(file["bytes"] for file in made["files"].values()),
        "num_parameters": made["num_parameters"],
    }
    try:
        metrics["parity"] = parity.check(out, reference, params.parity)
        metrics["latency"] = latency.measure(out, params.latency)
    except MissingPackageError as error:
        metrics["parity"] = {"verdict": "not-run", "reason": str(error)}
        metrics["latency"] = {"n": 0, "reason": str(error)}
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)

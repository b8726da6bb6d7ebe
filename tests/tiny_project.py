"""A DVC project of three small stages in the pipeline's shape, for tests of what surrounds it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

MAKE_MODEL = """
import random
from pathlib import Path
from potstill import stage
from potstill.params import Section


class Params(Section):
    num_bytes: int


def main(params: Params, *, prompts: Path, out: Path) -> dict:
    out.mkdir()
    weights = random.Random(prompts.read_text()).randbytes(params.num_bytes)
    (out / "weights.bin").write_bytes(weights)
    (out / "tokenizer.json").write_text("{}")
    return {"num_bytes": params.num_bytes}


if __name__ == "__main__":
    stage.run(main, Params)
"""
EXPORT_MODEL = """
from pathlib import Path
from potstill import stage
from potstill.export import build
from potstill.params import Section


class Params(Section):
    quantisation: str


def main(params: Params, *, prompts: Path, out: Path) -> dict:
    build.build(Path("checkpoint"), out, format="gguf", quantisation=params.quantisation)
    return {"num_bytes": (out / "model.gguf").stat().st_size}


if __name__ == "__main__":
    stage.run(main, Params)
"""
MAKE_PROMPTS = MAKE_MODEL.replace("num_bytes: int", "text: str").replace(", prompts: Path", "")
MAKE_PROMPTS = (
    MAKE_PROMPTS[: MAKE_PROMPTS.index("    out.mkdir()")]
    + '    out.write_text(params.text)\n    return {"num": 1}\n'
    + MAKE_PROMPTS[MAKE_PROMPTS.index("\n\nif __name__") :]
)

DVC_YAML = """
stages:
  make_prompts:
    cmd: >-
      python -m stages.make_prompts --params make_prompts
      --out data/prompts.jsonl --metrics metrics/make_prompts.json
    deps: [stages/make_prompts.py]
    params: [make_prompts]
    outs: [data/prompts.jsonl]
    metrics:
      - metrics/make_prompts.json: {cache: false}
  make_model:
    foreach: ${make_model}
    do:
      cmd: >-
        python -m stages.make_model --params make_model.${key} --prompts data/prompts.jsonl
        --out models/artefacts/${key} --metrics metrics/make_model/${key}.json
      deps: [stages/make_model.py, data/prompts.jsonl]
      params: ["make_model.${key}"]
      outs: ["models/artefacts/${key}"]
      metrics:
        - metrics/make_model/${key}.json: {cache: false}
  record_hashes:
    cmd: >-
      python -m stages.record_hashes --params record_hashes --data data --models models
      --out metrics/SHA256SUMS --metrics metrics/record_hashes.json
    deps: [stages/record_hashes.py, data, models]
    params: [record_hashes]
    outs:
      - metrics/SHA256SUMS: {cache: false}
    metrics:
      - metrics/record_hashes.json: {cache: false}
"""
PARAMS_YAML = """\
# ---- data ----
make_prompts:
  text: "two words"  # what the model is made from

# ---- models ----
make_model:
  q8: {num_bytes: 300000}
  q4: {num_bytes: 150001}

record_hashes: {}
"""


def environment() -> dict[str, str]:
    """Return the environment in which this checkout's Python, DVC and library are found."""
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return os.environ | {
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": str(ROOT / "lib"),
        "DVC_NO_ANALYTICS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
    }


def call(folder: Path, *command: str, check: bool = True, timeout_s: float = 120) -> str:
    """Run a command in a folder and return its output; its failure is the test's."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stdout}"
    return done.stdout


def make(folder: Path, checkpoint: Path | None = None) -> Path:
    """Create the project, run it and commit the result; with a checkpoint its models are real."""
    write(folder)
    if checkpoint:
        shutil.copytree(checkpoint, folder / "checkpoint")
        (folder / "stages/make_model.py").write_text(EXPORT_MODEL)
        params = PARAMS_YAML.replace("num_bytes: 300000", "quantisation: q8_0")
        (folder / "params.yaml").write_text(
            params.replace("num_bytes: 150001", "quantisation: f16")
        )
    call(folder, "dvc", "repro", "-q")
    return commit(folder)


def write(folder: Path) -> Path:
    """Create the project's files in a new repository of git and DVC."""
    (folder / "stages").mkdir(parents=True)
    (folder / "stages/make_model.py").write_text(MAKE_MODEL)
    (folder / "stages/make_prompts.py").write_text(MAKE_PROMPTS)
    (folder / "stages/record_hashes.py").write_text((ROOT / "stages/record_hashes.py").read_text())
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "params.yaml").write_text(PARAMS_YAML)
    (folder / ".gitignore").write_text(".potstill/\n*.partial\n")
    call(folder, "git", "init", "-q", "-b", "main")
    call(folder, "dvc", "init", "-q")
    call(folder, "dvc", "config", "core.autostage", "true")
    return folder


def commit(folder: Path) -> Path:
    """Commit everything that is not ignored."""
    call(folder, "git", "add", "-A")
    call(folder, "git", "commit", "-q", "-m", "run")
    return folder


def verify(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run `potstill verify` in a folder; return its exit code and its output."""
    done = subprocess.run(
        [sys.executable, "-m", "potstill.cli", "verify", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout

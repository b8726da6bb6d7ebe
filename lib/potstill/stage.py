"""Run one stage of the pipeline: flags and settings in, whole outputs and metrics out.

What this gives every stage, so that none has to think of it:

- `main`'s keyword-only `Path` parameters are its command-line flags. Those named `out` or ending in
  `_out` are outputs: `main` gets a temporary name, and the finished file or folder is fsynced and
  renamed. A parameter named `scratch` is a folder that survives a crash (a checkpoint, finished
  shards) and is found again only by a run with the same settings, inputs and code.
- settings come from params.yaml alone, checked before any work.
- only one process writes a stage's outputs: a lock is held, and a stage whose parent died stops.
  DVC itself leaves an orphan writing (measured with 3.67.1), so a rerun after `kill -9` would mix
  two writers.
- an error that the user can mend is one line; exit code 1; no output is touched.
"""

import argparse
import contextlib
import errno
import hashlib
import inspect
import json
import logging
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from potstill import files, imports, params
from potstill.errors import InputError
from potstill.scratch import Lock, keyed

WORK = Path(".potstill")  # locks, logs, scratch: never an input, never shared
SHELLS = {"sh", "dash", "bash", "zsh"}  # DVC starts a stage through one, which may stay
log = logging.getLogger("potstill")
StageMain = Callable[..., dict[str, Any]]


def is_output(name: str) -> bool:
    """Say whether a parameter of `main` names an output."""
    return name == "out" or name.endswith("_out")


def path_parameters(main: StageMain) -> list[str]:
    """Return the names of `main`'s keyword-only parameters that are flags."""
    kinds = inspect.signature(main).parameters.values()
    return [p.name for p in kinds if p.kind is p.KEYWORD_ONLY and p.name != "scratch"]


def run(main: StageMain, section: type[params.Section]) -> None:
    """Run a stage's `main` as a program; see the module's text.

    Raises:
        SystemExit: 1 after an error that the user can mend.
    """
    flags = _parse_flags(main)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # metrics/curate.json is stage `curate`, metrics/distill/kd.json is stage `distill@kd`
    name = "@".join([*flags.metrics.parts[1:-1], flags.metrics.stem])
    _die_with_parent()
    try:
        settings = params.build(section, params.read_params(), *flags.params)
        lock = WORK / "locks" / name
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
        with Lock(lock):
            _run_locked(main, settings, flags, name)
    except InputError as error:
        sys.exit(f"{name}: {error}")
    except Exception as error:
        if not _is_full(error):
            raise
        sys.exit(
            f"{name}: the disk is full ({error}); no output was touched: make room here or in the "
            "folder for temporary files and run again, it goes on where it was"
        )


def _is_full(error: Exception) -> bool:
    """Say whether a write found no room; safetensors and other libraries of Rust say so in text."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or f"os error {errno.ENOSPC}" in str(error)


def _parse_flags(main: StageMain) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=inspect.getmodule(main).__doc__)
    parser.add_argument(
        "--params", nargs="+", required=True, help="sections of params.yaml; a later one wins"
    )
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file to write")
    for flag in path_parameters(main):
        parser.add_argument(f"--{flag.replace('_', '-')}", dest=flag, type=Path, required=True)
    return parser.parse_args()


def _run_locked(
    main: StageMain, settings: params.Section, flags: argparse.Namespace, name: str
) -> None:
    started = time.monotonic()
    log.info("%s: started", name)
    paths = {flag: getattr(flags, flag) for flag in path_parameters(main)}
    outputs = {flag: path for flag, path in paths.items() if is_output(flag)}
    arguments = dict(paths)
    for flag, path in paths.items():
        if flag in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            arguments[flag] = files.partial_path(path)
            files.remove(arguments[flag])
        elif not path.exists():
            raise InputError(f"--{flag} {path} is missing: run `dvc repro` or `dvc pull`")
    scratch = None
    if "scratch" in inspect.signature(main).parameters:
        inputs = {flag: path for flag, path in paths.items() if flag not in outputs}
        scratch = _scratch(name, main, settings, inputs)
        arguments["scratch"] = scratch
    try:
        metrics = main(settings, **arguments)
        files.to_json(metrics)  # a NaN must stop here, before the first output is replaced
        absent = [flag for flag in outputs if not arguments[flag].exists()]
        assert not absent, f"main returned without writing {absent}"
        for flag, path in outputs.items():
            files.publish(arguments[flag], path)
        files.write_json(flags.metrics, metrics)
    finally:
        for flag in outputs:
            files.remove(arguments[flag])
    if scratch is not None:
        files.remove(scratch.parent)
    _record(name, time.monotonic() - started)


def _scratch(name: str, main: StageMain, settings: params.Section, inputs: dict[str, Path]) -> Path:
    """Return the crash-proof folder of this very run: same settings, inputs and code."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for flag, path in sorted(inputs.items()):
        digest.update(f"{flag}={files.sha256_tree(path)}\n".encode())
    for source in imports.sources(Path(inspect.getfile(main)).resolve()):
        digest.update(source.read_bytes())
    return keyed(WORK / "scratch" / name, digest.hexdigest())


def _record(name: str, seconds: float) -> None:
    """Log the stage's cost; it is kept out of the metrics, which are equal on every rerun."""
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    children_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    row = {
        "stage": name,
        "seconds": round(seconds, 1),
        "peak_rss_mb": round(max(peak_mb, children_mb)),
    }
    with (WORK / "timings.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    log.info("%s: done in %.1f s, peak memory %.0f MB", name, seconds, row["peak_rss_mb"])


def _die_with_parent(poll_s: float = 0.2) -> None:
    """End this process and its children when DVC dies.

    DVC is its parent, or the parent of the shell between the two.
    """
    import psutil

    parents = psutil.Process().parents()
    between = next((n for n, p in enumerate(parents) if p.name() not in SHELLS), 0)

    def gone(process: psutil.Process) -> bool:
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def watch() -> None:
        while not any(gone(parent) for parent in parents[: between + 1]):
            time.sleep(poll_s)
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process().children(recursive=True):
                child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

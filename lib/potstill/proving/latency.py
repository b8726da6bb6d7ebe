"""What an artefact costs to run, measured in a process of its own.

Load time counts from an empty process with the runtime's package imported. The first token's time
is that of the prompt; decoding speed counts the tokens after it. Peak memory is the process's own
resident set, the runtime included. One generation warms up and is not counted.

Times differ from run to run; nothing else that the pipeline measures does.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from potstill.errors import InputError
from potstill.params import Section


class Settings(Section):
    """How often and how long is measured: `export.common.latency`."""

    prompt_tokens: Annotated[int, Field(ge=1)]
    tokens: Annotated[int, Field(ge=2)]  # generated after the first
    repeats: Annotated[int, Field(ge=1)]  # counted, after one warm-up
    threads: Annotated[int, Field(ge=1)]
    timeout_s: Annotated[float, Field(gt=0)]


def measure(artefact: Path, how: Settings) -> dict[str, float | str]:
    """Measure an artefact in a fresh process and return flat metrics.

    Returns:
        size_bytes (model files alone), load_ms, ttft_ms_p50, ttft_ms_p95, tokens_per_s_p50,
        peak_rss_mb, baseline_rss_mb (before loading), n (repeats), cpu, threads.

    Raises:
        InputError: the child failed or ran past the time limit.
    """
    command = [sys.executable, "-m", "potstill.proving.latency", str(artefact)]
    for name, value in how.model_dump(exclude={"timeout_s"}).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=how.timeout_s, check=True
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{artefact}: not measured within {how.timeout_s:.0f} s: raise latency.timeout_s"
        ) from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{artefact}: could not be measured ({last})") from None
    metrics: dict[str, float | str] = json.loads(child.stdout.splitlines()[-1])
    return metrics


def _measure_here(
    artefact: Path, prompt_tokens: int, tokens: int, repeats: int, threads: int
) -> dict:
    import numpy as np

    from potstill import runtime
    from potstill.runtime import artifact

    description = artifact.verify(artefact)
    loader = runtime.RUNTIMES[description["format"]]  # imports the package: not load time
    baseline = _rss_mb("VmRSS")
    start = time.perf_counter()
    context = prompt_tokens + tokens + 8
    model = loader.load(artefact, threads=threads, context=context)
    load_ms = 1000 * (time.perf_counter() - start)
    # Ids that stop nothing, the same on every run; the text does not matter for the time.
    usable = np.setdiff1d(np.arange(description["vocab_size"]), sorted(model.stop_ids))
    ids = np.random.default_rng(0).choice(usable, size=prompt_tokens).tolist()
    request, first, speed = runtime.Request(ids, max_tokens=tokens + 1), [], []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        made = ((time.perf_counter() - start, chunk) for chunk in model.stream(request))
        stamps = [stamp for stamp, chunk in made if chunk.id is not None]
        if repeat and stamps:
            first.append(1000 * stamps[0])
            if len(stamps) > 1:
                speed.append((len(stamps) - 1) / (stamps[-1] - stamps[0]))
    model.close()
    if not first or not speed:
        raise InputError(f"{artefact}: it stops at once on the test prompt; nothing to time")
    return {
        "size_bytes": _model_bytes(description),
        "load_ms": round(load_ms, 1),
        "ttft_ms_p50": round(float(np.percentile(first, 50)), 1),
        "ttft_ms_p95": round(float(np.percentile(first, 95)), 1),
        "tokens_per_s_p50": round(float(np.percentile(speed, 50)), 1),
        "peak_rss_mb": round(_rss_mb("VmHWM"), 1),
        "baseline_rss_mb": round(baseline, 1),
        "n": len(speed),
        "threads": threads,
        "cpu": _cpu(),
    }


def _model_bytes(description: dict) -> int:
    """Return the bytes of the model files; the tokenizer is the same in every format."""
    from potstill.models.checkpoint import SIDE_FILES

    sizes = {name: file["bytes"] for name, file in description["files"].items()}
    return sum(size for name, size in sizes.items() if name not in SIDE_FILES)


def _rss_mb(field: str) -> float:
    """Return VmRSS (now) or VmHWM (peak) of this process; other systems have only the peak."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except FileNotFoundError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # bytes on macOS
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (FileNotFoundError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    """Measure one artefact in this process and print JSON: what `measure` starts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artefact", type=Path)
    for flag in ("--prompt-tokens", "--tokens", "--repeats", "--threads"):
        parser.add_argument(flag, type=int, required=True)
    flags = vars(parser.parse_args())
    try:
        sys.stdout.write(json.dumps(_measure_here(**flags)) + "\n")
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

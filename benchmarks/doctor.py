"""What `potstill doctor` foresees of a training, beside what the training then takes.

    python -m benchmarks.doctor [--run .] [--students kd labels_only]

A run's own students: first the doctor looks, then the stage `distill` trains the same student into
a folder that is thrown away; each in a fresh process, with nothing else running. Ratios are
foreseen by taken: within 0.75 and 1.25 is what is promised.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from potstill import params


def foreseen(run: Path, name: str) -> tuple[dict[str, float], float]:
    """Return the doctor's numbers, and the seconds that it took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "potstill.cli", "doctor", name, "--json"]
    done = subprocess.run(command, cwd=run, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = next((row["numbers"] for row in rows if row["name"] == "prediction"), None)
    if found is None:
        sys.exit(f"{name}: {done.stderr or [row for row in rows if row['verdict'] == 'fail']}")
    return found, time.perf_counter() - started


def taken(run: Path, name: str, student: dict[str, Any]) -> dict[str, float]:
    """Train the student; return its seconds and the most megabytes that it held."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        command = [
            *(sys.executable, "-m", "stages.distill"),
            *("--params", "training", f"students.{name}"),
            *("--student", f"models/starts/{student['start']}", "--tokens", "data/tokens"),
            *("--signal", f"data/{student['signal']}", "--out", str(out / "student")),
            *("--measures-out", str(out / "measures"), "--metrics", str(out / f"{name}.json")),
        ]
        started = time.perf_counter()
        trained = subprocess.Popen(command, cwd=run, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(trained.pid, 0)  # of this process alone
        seconds = time.perf_counter() - started
        assert not status, f"{name}: the training ended with {status}"
    return {"seconds": seconds, "memory_mb": used.ru_maxrss / 1024}


def main() -> None:
    """Print a line for each student."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path())
    parser.add_argument("--students", nargs="+", default=["kd", "labels_only"])
    given = parser.parse_args()
    tree = params.read_params(given.run / params.PARAMS_FILE)
    print(f"{'student':14} {'looked, s':>9} {'foreseen, s':>11} {'taken, s':>9} {'ratio':>6} "
          f"{'foreseen, MB':>12} {'taken, MB':>10} {'ratio':>6}")  # fmt: skip
    for name in given.students:
        numbers, looked = foreseen(given.run, name)
        real = taken(given.run, name, params.section(tree, f"students.{name}"))
        ratios = {key: numbers[key] / real[key] for key in ("seconds", "memory_mb")}
        print(f"{name:14} {looked:9.0f} {numbers['seconds']:11.0f} {real['seconds']:9.0f} "
              f"{ratios['seconds']:6.2f} {numbers['memory_mb']:12.0f} {real['memory_mb']:10.0f} "
              f"{ratios['memory_mb']:6.2f}")  # fmt: skip


if __name__ == "__main__":
    main()

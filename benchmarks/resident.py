"""Resident memory of this process (Linux): now, and the highest while something runs."""

import threading
from pathlib import Path
from types import TracebackType

NAMES = {"VmRSS": "rss", "RssAnon": "anon", "VmHWM": "peak"}


def memory_mb() -> dict[str, float]:
    """Return all resident memory in MB, what is the process' own, and the highest so far.

    What is not its own are pages of mapped files, which the kernel takes back when it needs them.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(":") for line in lines)
    return {NAMES[k]: round(int(v.split()[0]) * 1024 / 1e6, 1) for k, v in pairs if k in NAMES}


class Peak:
    """The highest `rss` and `anon` while a block runs, looked at every few milliseconds."""

    def __init__(self, every_s: float = 0.01) -> None:
        self._every_s, self._over = every_s, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mb: dict[str, float] = {}

    def __enter__(self) -> "Peak":
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look a last time."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            over = self._over.wait(self._every_s)
            now = memory_mb()
            self.mb = {name: max(now[name], self.mb.get(name, 0)) for name in ("rss", "anon")}
            if over:
                return

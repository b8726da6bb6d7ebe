"""Holds one artefact for a program that runs long: loads it late, lets it go when nobody asks."""

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from potstill import runtime
from potstill.errors import InputError
from potstill.runtime import artifact
from potstill.runtime.base import Runtime


class Host:
    """One artefact, loaded on first use and unloaded after an idle time.

    Callers of several threads take turns. A damaged artefact is named when it is chosen, before the
    present one is given up; of two artefacts only one is ever in memory.

    Args:
        artefact: what to load.
        threads: threads of the runtime.
        context: ids of prompt and answer together.
        idle_s: seconds without use after which the memory is given back; None for never.
    """

    def __init__(
        self, artefact: Path, *, threads: int = 2, context: int = 1024, idle_s: float | None = None
    ) -> None:
        if idle_s is not None and idle_s <= 0:
            raise InputError(f"idle_s is {idle_s}: more than 0 seconds, or None for never")
        self._threads, self._context, self._idle_s = threads, context, idle_s
        self._turn = threading.Lock()
        self._model: Runtime | None = None
        self._timer: threading.Timer | None = None
        self.swap(artefact)

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    @contextmanager
    def use(self) -> Iterator[Runtime]:
        """Lend the runtime, loading it if need be; it must not be kept.

        Raises:
            InputError: it cannot be loaded.
        """
        with self._turn:
            self._stop_timer()
            if self._model is None:
                self._model = runtime.load(
                    self.artefact, threads=self._threads, context=self._context
                )
            try:
                yield self._model
            finally:
                if self._idle_s is not None:
                    self._timer = threading.Timer(self._idle_s, self.unload)
                    self._timer.daemon = True
                    self._timer.start()

    def swap(self, artefact: Path) -> None:
        """Hold another artefact from the next use on.

        Raises:
            InputError: it is damaged or of an unknown format; the present one stays then.
        """
        runtime.RUNTIMES[artifact.verify(artefact)["format"]]
        with self._turn:
            self._unload()
            self.artefact = artefact

    def unload(self) -> None:
        """Give the memory back, after the use that is under way; the next use loads again."""
        with self._turn:
            self._unload()

    def _unload(self) -> None:
        self._stop_timer()
        if self._model is None:
            return
        self._model.close()
        self._model = None
        gc.collect()
        if sys.platform == "linux":
            # The C library keeps freed pages for itself unless it is told to give them back.
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

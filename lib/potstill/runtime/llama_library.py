"""llama.cpp's C library, for programs beside others: it waits in sleep and keeps its log quiet.

Its threads meet hundreds of times a token. By default one that waits spins for milliseconds, so
another program on its core, such as an answer under test, makes the threads wait for each other.
The library writes pages to stderr by default; here only errors are kept, in order.
"""

import ctypes
import os
from collections import deque

SPINS = "1000"  # some 20 us, longer than most waits; docs/facts.md has the others
os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # OpenMP reads it once, when it is loaded

import llama_cpp  # noqa: E402

__all__ = ["llama_cpp", "take_errors"]

_GGML_LOG_LEVEL_ERROR = 4  # ggml.h; the package's own comment is out of date
_GGML_LOG_LEVEL_CONT = 5  # goes on with the previous message
_errors: deque[str] = deque(maxlen=20)
_last_level = 0


def _keep_errors(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    global _last_level  # noqa: PLW0603 - the C interface has no other place for it
    if level != _GGML_LOG_LEVEL_CONT:
        _last_level = level
    if _last_level == _GGML_LOG_LEVEL_ERROR:
        _errors.append(text.decode("utf-8", "replace").strip())


# The name keeps the callback alive: the library holds a bare pointer to it.
_callback = llama_cpp.llama_log_callback(_keep_errors)
llama_cpp.llama_log_set(_callback, ctypes.c_void_p(0))
llama_cpp.llama_backend_init()


def take_errors() -> str:
    """Return the errors logged since the last call as one line, and forget them."""
    text = "; ".join(line for line in _errors if line)
    _errors.clear()
    return text or "no reason given"

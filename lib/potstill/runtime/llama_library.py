"""llama.cpp's C library with its log kept quiet: what it says is kept for an error message.

The library writes pages to stderr by default; here only errors are kept, in order.
"""

import ctypes
from collections import deque

import llama_cpp

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

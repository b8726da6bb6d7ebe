"""llama-cpp-python's server as a reference of the benchmarks, for as long as it is needed."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from potstill.runtime import artifact


@contextmanager
def serve(python: Path, artefact: Path, *, context: int, threads: int) -> Iterator[str]:
    """Run it on the artefact's file by a Python that has it; yield its base URL once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "model": artefact / artifact.read(artefact)["model_file"], "host": "127.0.0.1",
        "port": port, "n_ctx": context, "n_threads": threads, "n_threads_batch": threads,
        "verbose": "False",
    }  # fmt: skip
    flags = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
    command = [python, "-m", "llama_cpp.server", *flags]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        try:
            while True:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/v1/models").raise_for_status()
                    break
                except httpx.TransportError:
                    if process.poll() is not None:
                        sys.exit("llama-cpp-python's server ended: run it by hand to see why")
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()

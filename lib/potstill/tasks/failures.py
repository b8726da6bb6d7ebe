"""What an executor says of code that fails, as an agent reads it."""

from potstill.sandbox import RunResult

MOST_CHARACTERS = 200  # of what is said


def last_words(text: str) -> str:
    """Return the last line that a program or the sandbox wrote of its failure, cut if it is long.

    Empty where nothing was said.
    """
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:MOST_CHARACTERS] if lines else ""


def said(run: RunResult) -> str:
    """Return the last words of a failed run: the interpreter's error, else the failed test."""
    return last_words(run.stderr) or last_words(run.failure)

"""Code with a planted error, and what an executor says of code that fails."""

import re

MOST_CHARACTERS = 200  # of what is said


def with_a_slip(code: str, entry_point: str) -> str | None:
    """Return the code with one argument misspelt in its signature, or None where there is none.

    Running it gives the most common error of small models, a name that is not defined, with the
    interpreter's own words.
    """
    match = re.search(rf"{re.escape(entry_point)}\s*\(\s*([A-Za-z_]\w*)", code)
    if match is None:
        return None
    start, end = match.span(1)
    return f"{code[:start]}{match.group(1)}_{code[end:]}"


def last_words(stderr: str) -> str:
    """Return the last line that a program or the sandbox wrote of its failure, cut if it is long.

    Empty where nothing was said.
    """
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    return lines[-1][:MOST_CHARACTERS] if lines else ""

"""From an answer to code: by the agent's rule, and as well as it can be read.

The rule of EdgeCoder's agent, `formats.extract_code`, takes the first fenced block, else the whole
text. It damages an answer of bare code with prose around it, or with a closing fence that was never
opened: such an answer is malformed. What a more patient reader finds in it stands beside.
"""

import itertools
import re
import zlib
from collections.abc import Callable, Iterator

from potstill import subset
from potstill.models import formats

# Characters of a loop: so many that generation stops, and so many that an answer at its cap is in
# one. Of 2,500 reference solutions none has a place like the former, 14 have one like the latter.
SURE, LIKELY = 240, 100
_PERIOD, _TIMES = 160, 4
# Examples and tests behind a function repeat a text but for its numbers and end by themselves: such
# a text has to stand there so many times before generation stops.
_COUNTED = 16
# An irregular loop is told by how well its end compresses: of 740 reference solutions of that
# length none is above 2.6, of 13 such answers none below 3.3.
_END, _SQUEEZED = 160, 3.0
_SEEN = 16  # characters at the end that stand once more before
_NUMBER = re.compile(r"\d+")
_DEFINED = r"^(?:async\s+)?(?:(?:def|function)\s+{0}\s*\(|(?:(?:const|let|var)\s+)?{0}\s*=[^=])"
_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
_MOST_TRIES = 400


def decided(answer: str) -> bool:
    """Say whether nothing that may follow counts: generation can stop here.

    The first code block is closed, so the rule has what it takes; or the answer repeats itself.
    """
    return formats.has_closed_block(answer) or repeats(answer)


def is_stuck(answer: str) -> bool:
    """Say whether an answer that its cap cut off is in a loop, which a higher cap would prolong.

    Its last characters repeat a text, or have next to no content, as where two lines alternate
    without a rule.

    Source: openai/whisper, `transcribe.py`, which takes text that gzip shrinks 2.4 times for one.
    """
    end = answer[-_END:].encode()
    return repeats(answer, LIKELY) or len(end) >= _SQUEEZED * len(zlib.compress(end, 9))


def repeats(answer: str, least: int = SURE) -> bool:
    """Say whether an answer has run into a loop, which greedy decoding does not leave.

    Its last `least` characters, or _TIMES times the period if that is more, repeat a text of at
    most _PERIOD characters. Since loops count up, numbers may count as equal; where generation is
    to stop, the text must then stand there _COUNTED times.
    """
    counted = _COUNTED if least >= SURE else _TIMES
    return _loops(answer, least, _TIMES) or _loops(answer, least, counted, _without_numbers)


def _without_numbers(text: str) -> str:
    return _NUMBER.sub("0", text)


def _loops(answer: str, least: int, times: int, seen_as: Callable[[str], str] = str) -> bool:
    near = seen_as(answer[-2 * _PERIOD :])
    # what nearly every call ends with: it is made for each token
    if near[-_SEEN:] not in near[:-1]:
        return False
    tail = seen_as(answer[-_COUNTED * _PERIOD :])
    for period in range(1, _PERIOD + 1):
        length = max(least, times * period)
        if len(tail) >= length and tail[-length:-period] == tail[-length + period :]:
            return True
    return False


def lenient_code(answer: str, language: str, entry_point: str) -> str:
    """Return the code in an answer; what the rule takes wherever that is a program.

    Else the longest run of top-level statements, within one block or between blocks, that parses
    and defines the function; if there is none, what the rule takes.

    Source: evalplus 0.3, `sanitize.code_extract`, which tries all runs of lines.
    """
    strict = formats.extract_code(answer)
    if _is_program(strict, language, entry_point):
        return strict
    parts = (part for part in _FENCE.split(answer) if part.strip())
    runs = sorted(
        {run for part in parts for run in _runs(part, entry_point)},
        key=lambda run: (-len(run), run),
    )
    tried = itertools.islice(runs, _MOST_TRIES)
    return next((run for run in tried if _is_program(run, language, entry_point)), strict)


def _runs(part: str, entry_point: str) -> Iterator[str]:
    """Yield the runs of chunks that hold the function; a chunk begins with an unindented line."""
    chunks: list[str] = []
    for line in part.splitlines():
        if not chunks or (line.strip() and not line[0].isspace()):
            chunks.append(line)
        else:
            chunks[-1] += f"\n{line}"
    found = [n for n, chunk in enumerate(chunks) if defines(chunk, entry_point)]
    for first, last in itertools.combinations(range(len(chunks) + 1), 2):
        if any(first <= place < last for place in found):
            yield "\n".join(chunks[first:last]).strip("\n").rstrip()


def defines(code: str, name: str) -> bool:
    """Say whether code defines a function of that name at its top level, by its text alone."""
    return re.search(_DEFINED.format(re.escape(name)), code, re.MULTILINE) is not None


def _is_program(code: str, language: str, entry_point: str) -> bool:
    if not defines(code, entry_point):
        return False
    reasons = subset.check(language, code).reasons
    return not any(reason.kind in ("parse_error", "limit") for reason in reasons)

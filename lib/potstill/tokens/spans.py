"""From a chat row to token ids and the spans on which the loss is taken, each with its weight.

A row has `messages`, and `tools` where the template shows some. Without anything else the loss is
taken on the last message, an assistant's, with weight 1. A message with `weights` is trained on
instead, and so may several be: `{"turn": 1.0, "name": 2.0, "arguments": 2.0}`, where `turn` is the
whole of what the assistant says with its end token, `name` and `arguments` are those of its tool
calls. Integrating a tool's result is the turn after the tool's message. A weight of 0 leaves a part
out.

A trained prompt has exactly the ids that a runtime reads. Where an answer's first characters would
melt with the prompt's last (a blank line after the template's own newline), prompt and answer are
tokenised apart, since a runtime reads the prompt alone and the model writes the rest.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer

Span = tuple[int, int, float]  # first id, one past the last, weight
_SEPARATORS = (None, (",", ":"), (", ", ":"))


class RejectedError(Exception):
    """A row that cannot be tokenised consistently; the text is its reason, as metrics name it."""


class NothingFitsError(InputError):
    """Every row of a table was rejected."""


def tokenise(chat: ChatTokenizer, row: Mapping[str, Any]) -> tuple[list[int], list[Span]]:
    """Return the ids of a row and its spans in order.

    Raises:
        RejectedError: template_refuses, no_answer, prompt_is_no_prefix, turns_differ, no_end_token
            or part_not_found.
    """
    messages = row["messages"]
    turns = [n for n, message in enumerate(messages) if "weights" in message]
    turns = turns or [len(messages) - 1]
    ids: list[int] = []
    spans: list[Span] = []
    for turn in turns:
        if turn < 1 or messages[turn].get("role") != "assistant":
            raise RejectedError("no_answer")
        prompt, text = _turn(chat, row, turn)
        read = chat.encode(prompt)
        if read[: len(ids)] != ids:
            raise RejectedError("turns_differ")
        said, starts = _answer(chat, prompt, read, text)
        weights = _weights(messages[turn], text, starts)
        spans += _runs(weights, len(read))
        ids = read + said
    return ids, spans


def _turn(chat: ChatTokenizer, row: Mapping[str, Any], turn: int) -> tuple[str, str]:
    """Return what the model reads before a turn, and what the template makes of the turn."""
    messages, tools = row["messages"], row.get("tools")
    try:
        prompt = chat.render(messages[:turn], tools=tools)
        whole = chat.render(messages[: turn + 1], tools=tools, add_generation_prompt=False)
    except InputError:
        raise RejectedError("template_refuses") from None
    if not whole.startswith(prompt):
        raise RejectedError("prompt_is_no_prefix")
    return prompt, whole[len(prompt) :]


def _answer(
    chat: ChatTokenizer, prompt: str, read: list[int], text: str
) -> tuple[list[int], list[int]]:
    """Return a turn's ids up to its end token, and where in its text each id's last letter is."""
    apart = chat.tokenizer.encode(text, add_special_tokens=False)
    ids, ends = apart.ids, [end - 1 for _, end in apart.offsets]
    together = chat.encode(prompt + text)
    if together[: len(read)] == read and together[len(read) :] != ids:
        ids, ends = together[len(read) :], []  # the same text, cut up otherwise: no offsets
    stops = [place for place, index in enumerate(ids) if index in chat.stop_ids]
    if not stops:
        raise RejectedError("no_end_token")
    return ids[: stops[-1] + 1], ends[: stops[-1] + 1] or [-1] * (stops[-1] + 1)


def _weights(message: Mapping[str, Any], text: str, places: list[int]) -> list[float]:
    """Return the weight of each id of a turn."""
    given = {"turn": 1.0, **message.get("weights", {})}
    weights = [float(given["turn"])] * len(places)
    wanted = {part: float(given[part]) for part in ("name", "arguments") if part in given}
    if not wanted:
        return weights
    if -1 in places:
        raise RejectedError("part_not_found")
    for part, begin, end in _parts(message, text):
        if part in wanted:
            for number, place in enumerate(places):
                if begin <= place < end:
                    weights[number] = wanted[part]
    return weights


def _parts(message: Mapping[str, Any], text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (name or arguments, begin, end) of every tool call in a turn's text."""
    content = str(message.get("content") or "").strip()
    cursor = text.find(content) + len(content)  # a call's name may stand in the words before it
    if cursor < len(content):
        raise RejectedError("part_not_found")
    for call in message.get("tool_calls") or ():
        function = call.get("function", call)
        begin, end = _find(text, function["arguments"], cursor)
        name = function["name"]
        if text[cursor:begin].count(name) != 1:
            raise RejectedError("part_not_found")
        at = text.index(name, cursor)
        yield "name", at, at + len(name)
        yield "arguments", begin, end
        cursor = end


def _find(text: str, arguments: str | Mapping[str, Any], cursor: int) -> tuple[int, int]:
    """Return where a call's arguments stand, as they are or as any usual JSON of them."""
    forms = [arguments] if isinstance(arguments, str) else []
    if not isinstance(arguments, str):
        forms = [
            json.dumps(arguments, ensure_ascii=ascii_, separators=separators, sort_keys=sorted_)
            for ascii_ in (False, True)
            for separators in _SEPARATORS
            for sorted_ in (False, True)
        ]
    found = [(text.find(form, cursor), form) for form in forms]
    found = [(place, form) for place, form in found if place >= 0]
    if not found:
        raise RejectedError("part_not_found")
    place, form = min(found)
    return place, place + len(form)


def _runs(weights: list[float], first: int) -> Iterator[Span]:
    """Yield the runs of equal weight as spans; what has none is left out."""
    start = 0
    for end in range(1, len(weights) + 1):
        if end == len(weights) or weights[end] != weights[start]:
            if weights[start] > 0:
                yield first + start, first + end, weights[start]
            start = end

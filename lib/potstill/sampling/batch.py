"""Answers through an endpoint's batch API: within a day, for less.

The budget holds as it does one request at a time: no batch is sent that it might not pay.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from potstill.errors import InputError
from potstill.sampling import batch_api
from potstill.sampling.batch_api import BatchApi
from potstill.sampling.endpoint import Chat
from potstill.sampling.kept import Kept
from potstill.sampling.sampling import Answer, Done, Prompt
from potstill.sampling.sent import FOLDER, Records, Sent

if TYPE_CHECKING:
    from openai.types import Batch

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 120.0  # between looks; each is half as long again
_OF_PROMPT = ("invalid_request_error", "context_length_exceeded", "content_filter")


@dataclass
class _Wanted:
    """The answers that are wanted: prompt and places of each key, and who is told."""

    prompts: dict[str, Prompt]
    places: dict[str, list[int]]
    done: Done

    def tell(self, key: str, answer: Answer) -> None:
        for place in self.places.pop(key):
            self.done(place, answer)


class Batched(Chat):
    """Answers from an endpoint, many requests in a file."""

    def ask(self, prompts: Sequence[Prompt], done: Done) -> None:
        """Answer prompts: those of batches that an earlier run sent, and what the budget may pay.

        What answers cost less than the most is spent on more, until a tenth of the budget is left.

        Raises:
            InputError: the endpoint has no batch API, refuses the key, the model or a setting, or
                a batch ended before all its requests were answered.
        """
        from openai import OpenAIError

        wanted = _Wanted({}, {}, done)
        for place, prompt in enumerate(prompts):
            key = Kept.key(self.identity, prompt.messages, prompt.sample)
            wanted.prompts[key] = prompt
            wanted.places.setdefault(key, []).append(place)
        try:
            with self._connect() as client:
                self._rounds(BatchApi(client, Records(FOLDER)), wanted)
        except OpenAIError as error:
            raise self._failure(error) from None

    def _rounds(self, api: BatchApi, wanted: _Wanted) -> None:
        batches, budget = api.find(wanted.places), self._endpoint.max_cost
        for sent in batches:
            _say(sent, "found again")
        found = {key for sent in batches for key in sent.keys} & wanted.places.keys()
        left = [key for key in wanted.places if key not in found]
        due = sum(self._worst(wanted.prompts[key]) for key in found)
        while batches or left:
            payable = self._payable(
                left, wanted, None if budget is None else budget - self._spent - due
            )
            left, due = left[len(payable) :], 0.0
            for keys, lines in self._files(payable, wanted):
                batches.append(api.send(keys, lines))
                _say(batches[-1], "sent, for up to a day; a run that is ended finds it again")
            if batches:
                self._spent += self._collect(api, batches, wanted)
            if not batches or (budget is not None and self._spent > 0.9 * budget):
                return
            batches = []

    def _payable(self, keys: list[str], wanted: _Wanted, money: float | None) -> list[str]:
        """Return the first keys, as many as money pays whatever their answers cost."""
        for number, key in enumerate(keys if money is not None else []):
            money = (money or 0.0) - self._worst(wanted.prompts[key])
            if money < 0:
                return keys[:number]
        return keys

    def _files(self, keys: list[str], wanted: _Wanted) -> Iterator[tuple[list[str], bytes]]:
        """Yield the keys and lines of files within the limits."""
        part, lines = list[str](), bytearray()
        for key in keys:
            body = self._body(wanted.prompts[key])
            request = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions"}
            line = json.dumps({**request, "body": body}).encode() + b"\n"
            full = len(part) == batch_api.MAX_REQUESTS
            if part and (full or len(lines) + len(line) > batch_api.MAX_BYTES):
                yield part, bytes(lines)
                part, lines = [], bytearray()
            part.append(key)
            lines += line
        if part:
            yield part, bytes(lines)

    def _collect(self, api: BatchApi, batches: list[Sent], wanted: _Wanted) -> float:
        """Wait for batches, tell their answers and return what these cost.

        Raises:
            InputError: see `ask`; all batches that end are read before.
        """
        open_, said, pause = list(batches), dict[str, str](), _FIRST_PAUSE_S
        spent, faults = 0.0, list[str]()
        while open_:
            for sent in list(open_):
                batch = api.look(sent)
                text = _progress(batch) if batch else "no reply just now, asked again"
                if said.get(sent.name) != text:
                    _say(sent, text)
                    said[sent.name] = text
                if batch and batch_api.has_ended(batch):
                    open_.remove(sent)
                    cost, fault = self._take(api, sent, batch, wanted)
                    spent += cost
                    faults += fault
            if open_:
                time.sleep(pause)
                pause = min(1.5 * pause, _LONGEST_PAUSE_S)
        if faults:
            raise InputError(
                f"{self._endpoint.url}: {'; '.join(faults)}: what was answered is kept, run again "
                "for the rest"
            )
        return spent

    def _take(
        self, api: BatchApi, sent: Sent, batch: "Batch", wanted: _Wanted
    ) -> tuple[float, list[str]]:
        """Tell a batch's answers; return what they cost, and what is to tell of the rest."""
        cost, complaints = 0.0, Counter[str]()
        for line in api.lines(sent, batch):
            key, outcome = self._outcome(line, wanted)
            if isinstance(outcome, str):
                complaints[outcome] += 1
            elif key in wanted.places:
                cost += self._endpoint.cost(outcome.tokens)
                wanted.tell(key, outcome)
        api.read(sent, wanted.prompts.keys())
        missing = sum(key in wanted.places for key in sent.keys)
        if not missing:
            return cost, []
        errors = (batch.errors.data if batch.errors else None) or []
        words = [f"{error.code}: {error.message}" for error in errors]
        words += [text for text, _ in complaints.most_common(1)]
        why = f" ({words[0]})" if words else ""
        text = f"batch {sent.batch} {batch.status}, {missing} of {len(sent.keys)} unanswered{why}"
        return cost, [" ".join(text.split())]

    def _outcome(self, line: bytes, wanted: _Wanted) -> tuple[str, Answer | str]:
        """Return the key of a line and its answer, or what is to tell instead."""
        try:
            row = json.loads(line)
            key, response, error = row["custom_id"], row.get("response") or {}, row.get("error")
            prompt, status = wanted.prompts.get(key), response.get("status_code")
            if prompt is None:
                return key, Answer("", "stop")  # kept by an earlier run
            body = response.get("body") or {}
            if status == 200:
                return key, self._read(prompt, body)
            error = error or body.get("error") or {}
            code, words = error.get("code"), str(error.get("message") or body or "no word")
            if status in (400, 422) or code in _OF_PROMPT:
                return key, self._refused(code, error.get("param"), words)
            return key, f"{code}: {words}"
        except InputError as fault:
            return key, str(fault)
        except (AttributeError, KeyError, TypeError, ValueError):
            return "", "a line is no answer"


def _progress(batch: "Batch") -> str:
    counts = batch.request_counts
    return f"{batch.status}, {counts.completed} answered" if counts else batch.status


def _say(sent: Sent, text: str) -> None:
    print(f"batch {sent.batch} of {len(sent.keys)} requests: {text}", flush=True)  # noqa: T201

"""A server's batch API: how batches are started once, watched and read.

OpenAI's protocol, which others copy: a JSONL file of requests goes to /files, /batches starts it
and says how far it is, and two more files hold what was answered, in any order, and what was not.
A batch costs money once. So its file is written down (`sent`) before it starts, and its id after;
one whose id is not known, since this process or the connection died in between, is looked for in
the server's list before another is started.

Source: https://platform.openai.com/docs/guides/batch
"""

import time
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING

from potstill.errors import InputError
from potstill.sampling.sent import Records, Sent, name_of

if TYPE_CHECKING:  # it takes a second to import
    from openai import APIError, OpenAI
    from openai.types import Batch

MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000  # of a file
_RETRIES = 10  # of a start: with backoff up to 8 s about a minute
_WINDOW_S, _LONGEST_WINDOW_S = 24 * 3600.0, 8 * 24 * 3600.0  # asked for; that a server may take
_GRACE_S = 2 * 3600.0  # after its end a server may still write the answers down
_SILENCE_S = 3600.0  # of a server that does not say how far a batch is
_LISTED = 2000  # of the newest batches that are looked at: as many as an hour may start
_ENDED = ("completed", "failed", "expired", "cancelled")
_NO_API, _AGAIN = (404, 405, 501), (408, 409, 429)


class BatchApi:
    """The batches of one server."""

    def __init__(self, client: "OpenAI", records: Records) -> None:
        """Talk through a client, which retries by itself; write down in `records`."""
        self._client, self._records = client, records
        self._url = str(client.base_url).rstrip("/")
        self._heard = time.monotonic()

    def find(self, keys: Collection[str]) -> list[Sent]:
        """Return the batches of earlier runs that ask for one of these answers or more.

        Raises:
            InputError, openai.OpenAIError: see `send`.
        """
        found = self._records.of(keys)
        for sent in found:
            if sent.batch is None:
                self._start(sent, perhaps_there=True)
        return found

    def send(self, keys: list[str], lines: bytes) -> Sent:
        """Upload requests and start their batch.

        Raises:
            InputError: the server has no batch API.
            openai.OpenAIError: it refuses, or still fails after all retries.
        """
        from openai import APIError

        name = f"potstill-{name_of(keys)}.jsonl"
        try:
            upload = self._client.files.create(file=(name, lines), purpose="batch")
        except APIError as error:
            raise self._told(error, "/files") from None
        sent = Sent(keys, upload.id)
        self._records.write(sent)
        self._start(sent, perhaps_there=False)
        return sent

    def _start(self, sent: Sent, *, perhaps_there: bool) -> None:
        """Start the batch of an uploaded file, once: a try that got no reply may have done it."""
        from openai import APIError

        client = self._client.with_options(max_retries=0)
        pauses = [min(0.5 * 2**retry, 8.0) for retry in range(_RETRIES)]
        while True:
            try:
                there = self._listed(sent) if perhaps_there else None
                batch = there or client.batches.create(
                    input_file_id=sent.file,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                )
                break
            except APIError as error:
                status = getattr(error, "status_code", 503)  # a connection error has none
                if status in _NO_API or (400 <= status < 500 and status not in _AGAIN):
                    self._records.drop(sent)  # perhaps its file is at fault
                    raise self._told(error, "/batches") from None
                if not pauses:
                    raise
                time.sleep(pauses.pop(0))
                perhaps_there = True
        sent.batch = batch.id
        self._records.write(sent)

    def _listed(self, sent: Sent) -> "Batch | None":
        from openai import APIStatusError

        try:
            for batch in islice(self._client.batches.list(limit=100), _LISTED):
                if batch.input_file_id == sent.file:
                    return batch
        except APIStatusError as error:
            if error.status_code not in _NO_API:
                raise
        return None

    def _told(self, error: "APIError", path: str) -> Exception:
        status = getattr(error, "status_code", None)
        if status not in _NO_API:
            return error
        return InputError(
            f"{self._url} has no batch API (POST {path}: {status}): set batch: false of this "
            "endpoint"
        )

    def look(self, sent: Sent) -> "Batch | None":
        """Return how far a batch is; None where the server does not say just now.

        Raises:
            InputError: the server does not know it, or it is still open long after its time.
            openai.OpenAIError: the server has said nothing for an hour, or refuses the key.
        """
        import openai

        assert sent.batch is not None
        try:
            batch = self._client.batches.retrieve(sent.batch)
        except openai.NotFoundError:
            raise self._lost(sent, "is not known there") from None
        except (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError):
            if time.monotonic() - self._heard > _SILENCE_S:
                raise
            return None
        self._heard = time.monotonic()
        if not has_ended(batch) and time.time() > _latest(sent, batch):
            raise self._lost(sent, "has not ended in its time")
        return batch

    def lines(self, sent: Sent, batch: "Batch") -> list[bytes]:
        """Return the lines of a batch that has ended: of its answers, then of its errors.

        Raises:
            InputError: the server has removed them.
        """
        from openai import NotFoundError

        names = [name for name in (batch.output_file_id, batch.error_file_id) if name]
        try:
            texts = [self._client.files.content(name).content for name in names]
        except NotFoundError:
            raise self._lost(sent, "has no answers any more") from None
        return [line for text in texts for line in text.split(b"\n") if line.strip()]

    def read(self, sent: Sent, keys: Collection[str]) -> None:
        """Forget what was asked of a batch that is read; what else it has may be wanted later."""
        self._records.drop(sent)
        rest = [key for key in sent.keys if key not in keys]
        if rest:
            self._records.write(Sent(rest, sent.file, sent.batch, sent.at))

    def _lost(self, sent: Sent, what: str) -> InputError:
        return InputError(
            f"batch {sent.batch} of {self._url} {what}: run again to look again, or delete "
            f"{self._records.path(sent)} to ask, and to pay, for its answers anew"
        )


def has_ended(batch: "Batch") -> bool:
    """Say whether nothing more comes; some say completed before they name the file."""
    counts = batch.request_counts
    written = batch.output_file_id or batch.error_file_id or not (counts and counts.completed)
    return batch.status in _ENDED and bool(written)


def _latest(sent: Sent, batch: "Batch") -> float:
    """Return the Unix time at which a batch is given up."""
    ends = max(sent.at + _WINDOW_S, float(batch.expires_at or 0))
    return min(ends, sent.at + _LONGEST_WINDOW_S) + _GRACE_S

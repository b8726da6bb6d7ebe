"""How a served model is asked about whole texts, as vLLM and SGLang have it; needs no torch.

Both give log-probabilities of a text that is handed to them as ids, which OpenAI's own interface
does not. Retries are the `openai` package's, as of `sampling.endpoint`.

Sources: vLLM `entrypoints/openai/completion/protocol.py` (prompt_logprobs, return_token_ids);
SGLang `managers/io_struct.py` (return_logprob, top_logprobs_num, logprob_start_len).
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field

from potstill.errors import InputError
from potstill.params import Section

if TYPE_CHECKING:  # it takes a second to import
    from openai import OpenAI

RETRIES = 10  # of one request: with backoff up to 8 s about a minute
Top = list[tuple[int, float]]  # the likeliest ids with their log-probabilities, likeliest first
ItemT = TypeVar("ItemT")
FoundT = TypeVar("FoundT")


class Endpoint(Section):
    """A server."""

    url: str  # base URL without /v1, such as http://localhost:8000
    kind: Literal["vllm", "sglang"]
    model: str  # its name at the server
    key: str = "OPENAI_API_KEY"  # the environment variable that holds the key
    concurrency: Annotated[int, Field(ge=1)] = 8  # requests at a time
    timeout_s: Annotated[float, Field(gt=0)] = 120.0  # of one try


class Client:
    """Sends requests to an endpoint, several at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Connect to nothing yet."""
        self.endpoint = endpoint

    def each(
        self, items: Sequence[ItemT], ask: "Callable[[OpenAI, ItemT], FoundT]"
    ) -> list[FoundT]:
        """Return what is answered to each item, in order; the first failure ends all.

        Raises:
            InputError: the endpoint fails after all retries, or sends what `ask` refuses.
        """
        from openai import OpenAI, OpenAIError

        client = OpenAI(
            base_url=self.endpoint.url,
            api_key=os.environ.get(self.endpoint.key) or "none",
            max_retries=RETRIES,
            timeout=self.endpoint.timeout_s,
        )
        with client, ThreadPoolExecutor(self.endpoint.concurrency) as threads:
            running = [threads.submit(ask, client, item) for item in items]
            try:
                return [future.result() for future in running]
            except (OpenAIError, ValueError) as error:
                raise InputError(
                    f"{self.endpoint.url} does not answer as a {self.endpoint.kind} server "
                    f"({type(error).__name__}: {error}): start it again and run again; with "
                    "the same settings, its address among them, what was finished is kept"
                ) from None
            finally:
                threads.shutdown(cancel_futures=True)

    def tops(self, texts: Sequence[tuple[int, ...]], top: int) -> list[list[Top]]:
        """Return for each text what is likeliest at each of its places but the first.

        The list of a text of T ids has T - 1 entries, the first of which is about its second id.

        Raises:
            InputError: see `each`, or the server gives no such log-probabilities.
        """
        ask = _ask_vllm if self.endpoint.kind == "vllm" else _ask_sglang

        def one(client: "OpenAI", ids: tuple[int, ...]) -> list[Top]:
            found = ask(client, self.endpoint.model, ids, top)
            if found is None or len(found) != len(ids) - 1 or not all(map(_is_sound, found)):
                raise InputError(
                    f"{self.endpoint.url} gives no log-probabilities of a text that it is given: "
                    f"serve the teacher with vLLM (--max-logprobs {top} or more) or SGLang"
                )
            return found

        return self.each(texts, one)


def _ask_vllm(client: "OpenAI", model: str, ids: Sequence[int], top: int) -> list[Top] | None:
    body = {
        "model": model,
        "prompt": list(ids),
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": top,
        "add_special_tokens": False,
    }
    reply: Any = client.post("/v1/completions", body=body, cast_to=object)
    places = _at(reply, "choices", 0, "prompt_logprobs")
    if not isinstance(places, list) or not all(isinstance(p, dict) for p in places[1:]):
        return None
    return [_ranked(((int(i), said["logprob"]) for i, said in place.items()), top)
            for place in places[1:]]  # fmt: skip


def _ask_sglang(client: "OpenAI", model: str, ids: Sequence[int], top: int) -> list[Top] | None:  # noqa: ARG001 - it serves one
    body = {
        "input_ids": list(ids),
        "sampling_params": {"max_new_tokens": 1, "temperature": 0.0},
        "return_logprob": True,
        "logprob_start_len": 0,
        "top_logprobs_num": top,
    }
    reply: Any = client.post("/generate", body=body, cast_to=object)
    places = _at(reply, "meta_info", "input_top_logprobs")
    if not isinstance(places, list) or not all(places[1:]):
        return None
    return [_ranked(((int(i), value) for value, i, *_ in place), top) for place in places[1:]]


def _at(tree: Any, *path: str | int) -> Any:  # noqa: ANN401 - JSON
    for step in path:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def _ranked(found: Any, top: int) -> Top:  # noqa: ANN401 - pairs of whatever JSON holds
    """Return the likeliest; vLLM adds the text's own id where that is none of them."""
    return sorted(found, key=lambda one: (-one[1], one[0]))[:top]


def _is_sound(place: Top) -> bool:
    return bool(place) and all(isinstance(v, float | int) and v <= 1e-3 and not math.isnan(v)
                               for _, v in place)  # fmt: skip

"""An OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, a provider), many requests at a time.

Retries are the `openai` package's: connection errors, timeouts, 408, 409, 429 and 5xx, with
exponential backoff, jitter and the server's Retry-After. Requests start no faster than a rate, and
none starts that the budget might not pay.
"""

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from potstill import files
from potstill.errors import InputError
from potstill.params import Section
from potstill.sampling.sampling import Answer, Done, Prompt

if TYPE_CHECKING:  # it takes a second to import
    from openai import OpenAI, OpenAIError

RETRIES = 10  # of one request: with backoff up to 8 s about a minute
_CHARACTERS = 3  # of a token at least, about: for estimates
_TRIED = 32  # answers without a word after which an endpoint is given up
_FINISH = {"length": "length", "model_length": "length", "content_filter": "refused"}
_UNKNOWN = {"unsupported_parameter", "unsupported_value"}  # the settings' fault, not the prompt's
_OURS = {"model", "messages", "max_tokens", "max_completion_tokens", "n", "stream"}
Price = Annotated[float, Field(ge=0)]


class Endpoint(Section):
    """How an endpoint is asked."""

    url: str  # base URL, such as http://localhost:8000/v1
    model: str  # its name at the server
    key: str = "OPENAI_API_KEY"  # the environment variable that holds the key
    batch: bool = False  # through its batch API: cheaper, within a day
    concurrency: Annotated[int, Field(ge=1)] = 8  # requests at a time; not of a batch
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None  # null: no limit
    timeout_s: Annotated[float, Field(gt=0)] = 120.0  # of one try
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # its word for max_tokens
    body: dict[str, JsonValue] = Field(default={})  # more fields of a request; null leaves one out
    price_input: Price = 0.0  # of a million tokens, in any currency
    price_output: Price = 0.0
    max_cost: Annotated[float, Field(gt=0)] | None = None  # asking ends before it; null: no limit

    @model_validator(mode="after")
    def _whole(self) -> "Endpoint":
        if self.max_cost is not None and not self.price_input + self.price_output:
            raise ValueError("max_cost needs price_input and price_output of the endpoint")
        if taken := sorted(_OURS & self.body.keys()):
            raise ValueError(f"body may not hold {', '.join(taken)}: other settings say them")
        return self

    def cost(self, tokens: tuple[int, int]) -> float:
        """Return what tokens of a prompt and its answer cost."""
        return (tokens[0] * self.price_input + tokens[1] * self.price_output) / 1e6


def _most_tokens(prompt: Prompt) -> int:
    return sum(len(message["content"]) for message in prompt.messages) // _CHARACTERS + 8


def _spoken(text: str) -> str:
    """Return an answer without the thoughts that a server left in it: they may hold code too."""
    if "</think>" in text:
        return text.rpartition("</think>")[2].lstrip()
    return "" if text.lstrip().startswith("<think>") else text


class Chat:
    """What an endpoint is asked, and how it is read; `Remote` and `Batched` send it."""

    def __init__(
        self, endpoint: Endpoint, *, max_tokens: int, temperature: float, seed: int
    ) -> None:
        """Connect to nothing yet."""
        self._endpoint, self._seed = endpoint, seed
        self._max_tokens, self._temperature = max_tokens, temperature
        self._has_price = endpoint.price_input + endpoint.price_output > 0
        how = [endpoint.url, endpoint.model, str(max_tokens), str(temperature), str(seed)]
        how += [json.dumps(endpoint.body, sort_keys=True)] if endpoint.body else []
        self.identity = files.row_id("endpoint", *how)
        self._spent = 0.0  # of the budget, over all calls of `ask`

    def estimate(self, prompts: Sequence[Prompt]) -> str:
        """Return the tokens and the cost, at most; a token has at least three characters or so."""
        tokens = (sum(map(_most_tokens, prompts)), len(prompts) * self._max_tokens)
        cost = f", cost {self._endpoint.cost(tokens):.2f}" if self._has_price else ""
        return f"at most {tokens[0]:,} tokens of prompts and {tokens[1]:,} of answers{cost}"

    def _worst(self, prompt: Prompt) -> float:
        """Return what an answer costs at most."""
        return self._endpoint.cost((_most_tokens(prompt), self._max_tokens))

    def _connect(self) -> "OpenAI":
        from openai import OpenAI

        return OpenAI(
            base_url=self._endpoint.url,
            api_key=os.environ.get(self._endpoint.key) or "none",
            max_retries=RETRIES,
            timeout=self._endpoint.timeout_s,
        )

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        """Return the fields of a request."""
        fields = {
            "model": self._endpoint.model,
            "messages": prompt.messages,
            self._endpoint.limit: self._max_tokens,
            "temperature": self._temperature,
            "seed": self._seed + prompt.sample,
            **self._endpoint.body,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _read(self, prompt: Prompt, reply: Mapping[str, Any]) -> Answer:
        """Return the answer that a chat completion holds.

        A priced server that counts no tokens is taken to charge the most: a budget must end.

        Raises:
            InputError: it is no chat completion.
        """
        try:
            choice, used = reply["choices"][0], reply.get("usage")
            message = choice["message"]
            text, refusal = _spoken(message.get("content") or ""), message.get("refusal")
            most = (_most_tokens(prompt), self._max_tokens) if self._has_price else (0, 0)
            tokens = (used["prompt_tokens"], used["completion_tokens"]) if used else most
            finish = _FINISH.get(choice.get("finish_reason"), "stop")
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise InputError(
                f"{self._endpoint.url} sends no chat completion ({type(error).__name__}: {error}): "
                "check its url"
            ) from None
        if refusal and not text:
            return Answer(refusal, "refused", tokens)
        return Answer(text, finish, tokens)

    def _refused(self, code: str | None, param: str | None, words: str) -> Answer:
        """Return that a prompt is too long or not allowed.

        Raises:
            InputError: it is the settings that the model refuses.
        """
        if code in _UNKNOWN:
            renamed = param == "max_tokens"
            to_do = "limit: max_completion_tokens" if renamed else f"body: {{{param}: null}}"
            raise InputError(
                f"{self._endpoint.model} at {self._endpoint.url} refuses {param} ({words}): set "
                f"{to_do} of its endpoint"
            )
        return Answer(words, "refused")

    def _failure(self, error: "OpenAIError") -> InputError:
        """Return what to tell of an endpoint that does not go on."""
        return InputError(
            f"{self._endpoint.url} does not answer as an OpenAI-compatible server "
            f"({type(error).__name__}: {error}): check the endpoint of sample_teacher.teachers; "
            "answers that came before are kept"
        )


class Remote(Chat):
    """Answers from an endpoint, one request each."""

    def __init__(
        self, endpoint: Endpoint, *, max_tokens: int, temperature: float, seed: int
    ) -> None:
        """Connect to nothing yet."""
        super().__init__(endpoint, max_tokens=max_tokens, temperature=temperature, seed=seed)
        self._pace = threading.Lock()
        self._next_start = 0.0
        self._over = threading.Event()
        self._tried, self._spoke = 0, False

    def ask(self, prompts: Sequence[Prompt], done: Done) -> None:
        """Answer prompts; end early where the budget might not pay the next request.

        Raises:
            InputError: the endpoint refuses the key, the model or a setting, still fails after all
                retries, or has no words for the first prompts.
        """
        endpoint = self._endpoint
        left, committed = list(enumerate(prompts))[::-1], 0.0
        worst = {number: self._worst(prompt) for number, prompt in left}
        client = self._connect()
        self._over.clear()
        running: dict[Future[Answer], int] = {}
        with client, ThreadPoolExecutor(endpoint.concurrency) as threads:
            try:
                while left or running:
                    while left and len(running) < endpoint.concurrency:
                        number, prompt = left[-1]
                        limit = endpoint.max_cost
                        if limit is not None and self._spent + committed + worst[number] > limit:
                            left.clear()
                            break
                        left.pop()
                        committed += worst[number]
                        running[threads.submit(self._one, client, prompt)] = number
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        number = running.pop(future)
                        answer = future.result()
                        committed -= worst[number]
                        self._spent += endpoint.cost(answer.tokens)
                        done(number, answer)
                        self._hear(answer)
            finally:  # after an error others still run: they are paid, and mostly end soon
                self._over.set()
                for future in wait(running, timeout=endpoint.timeout_s).done:
                    if future.exception() is None:
                        done(running[future], future.result())
                client.close()

    def _one(self, client: "OpenAI", prompt: Prompt) -> Answer:
        """Return the answer to one prompt.

        Raises:
            InputError: see `ask`.
        """
        import openai

        self._wait()
        try:
            path, body = "/chat/completions", self._body(prompt)  # any fields, none checked
            reply: Any = client.post(path, body=body, cast_to=object)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return self._refused(error.code, error.param, str(error))
        except openai.OpenAIError as error:
            raise self._failure(error) from None
        except ValueError as error:
            raise InputError(
                f"{self._endpoint.url} sends no JSON ({error}): check its url"
            ) from None
        return self._read(prompt, reply)

    def _hear(self, answer: Answer) -> None:
        """Take note of an answer.

        Raises:
            InputError: no answer so far has a word.
        """
        self._tried += 1
        self._spoke = self._spoke or answer.has_words
        if self._tried == _TRIED and not self._spoke:
            raise InputError(
                f"the first {_TRIED} answers of {self._endpoint.url} are refused or empty, one: "
                f"{answer.complaint}"
            )

    def _wait(self) -> None:
        """Wait until the rate allows the next request.

        Raises:
            InputError: meanwhile another has failed.
        """
        rate = self._endpoint.requests_per_minute
        if rate is None:
            return
        with self._pace:
            now = time.monotonic()
            start = max(now, self._next_start)
            self._next_start = start + 60 / rate
        if self._over.wait(start - now):
            raise InputError(f"{self._endpoint.url} is asked no more")

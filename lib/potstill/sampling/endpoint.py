"""An OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, a provider), many requests at a time.

Retries are the `openai` package's: connection errors, timeouts, 408, 409, 429 and 5xx, with
exponential backoff, jitter and the server's Retry-After. Requests start no faster than a rate, and
none starts that the budget might not pay.
"""

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Annotated

from pydantic import Field, model_validator

from potstill import files
from potstill.errors import InputError
from potstill.params import Section
from potstill.sampling.sampling import Answer, Done, Prompt

_RETRIES = 10  # of one request: with backoff up to 8 s about a minute
_CHARACTERS = 3  # of a token at least, about: for estimates
Price = Annotated[float, Field(ge=0)]


class Endpoint(Section):
    """How an endpoint is asked."""

    url: str  # base URL, such as http://localhost:8000/v1; the key is read from OPENAI_API_KEY
    model: str  # its name at the server
    concurrency: Annotated[int, Field(ge=1)] = 8  # requests at a time
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None  # null: no limit
    timeout_s: Annotated[float, Field(gt=0)] = 120.0  # of one try
    price_input: Price = 0.0  # of a million tokens, in any currency
    price_output: Price = 0.0
    max_cost: Annotated[float, Field(gt=0)] | None = None  # asking ends before it; null: no limit

    @model_validator(mode="after")
    def _priced(self) -> "Endpoint":
        if self.max_cost is not None and not self.price_input + self.price_output:
            raise ValueError("max_cost needs price_input and price_output of the endpoint")
        return self

    def cost(self, tokens: tuple[int, int]) -> float:
        """Return what tokens of a prompt and its answer cost."""
        return (tokens[0] * self.price_input + tokens[1] * self.price_output) / 1e6


def _most_tokens(prompt: Prompt) -> int:
    return sum(len(message["content"]) for message in prompt.messages) // _CHARACTERS + 8


class Remote:
    """Answers from an endpoint."""

    def __init__(
        self, endpoint: Endpoint, *, max_tokens: int, temperature: float, seed: int
    ) -> None:
        """Connect to nothing yet."""
        self._endpoint, self._seed = endpoint, seed
        self._max_tokens, self._temperature = max_tokens, temperature
        how = (endpoint.url, endpoint.model, str(max_tokens), str(temperature), str(seed))
        self.identity = files.row_id("endpoint", *how)
        self._pace = threading.Lock()
        self._next_start = 0.0

    def estimate(self, prompts: Sequence[Prompt]) -> str:
        """Return the tokens and the cost, at most; a token has at least three characters or so."""
        tokens = (sum(map(_most_tokens, prompts)), len(prompts) * self._max_tokens)
        has_price = self._endpoint.price_input + self._endpoint.price_output > 0
        cost = f", cost {self._endpoint.cost(tokens):.2f}" if has_price else ""
        return f"at most {tokens[0]:,} tokens of prompts and {tokens[1]:,} of answers{cost}"

    def ask(self, prompts: Sequence[Prompt], done: Done) -> None:
        """Answer prompts; end early where the budget might not pay the next request.

        Raises:
            InputError: the endpoint refuses the key or the model, or still fails after all retries.
        """
        from openai import OpenAI

        endpoint = self._endpoint
        left, spent, committed = list(enumerate(prompts))[::-1], 0.0, 0.0
        worst = {n: endpoint.cost((_most_tokens(p), self._max_tokens)) for n, p in left}
        key = os.environ.get("OPENAI_API_KEY") or "none"
        client = OpenAI(
            base_url=endpoint.url, api_key=key, max_retries=_RETRIES, timeout=endpoint.timeout_s
        )
        running: dict[Future[Answer], int] = {}
        with client, ThreadPoolExecutor(endpoint.concurrency) as threads:
            try:
                while left or running:
                    while left and len(running) < endpoint.concurrency:
                        number, prompt = left[-1]
                        limit = endpoint.max_cost
                        if limit is not None and spent + committed + worst[number] > limit:
                            left.clear()
                            break
                        left.pop()
                        committed += worst[number]
                        running[threads.submit(self._one, client, prompt)] = number
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        number = running.pop(future)
                        answer = future.result()
                        committed -= worst[number]
                        spent += endpoint.cost(answer.tokens)
                        done(number, answer)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
                client.close()

    def _one(self, client: object, prompt: Prompt) -> Answer:
        """Return the answer to one prompt.

        Raises:
            InputError: see `ask`.
        """
        import openai

        assert isinstance(client, openai.OpenAI)
        self._wait()
        try:
            reply = client.chat.completions.create(
                model=self._endpoint.model,
                messages=prompt.messages,  # type: ignore[arg-type] # roles are those of chat
                max_tokens=self._max_tokens,
                temperature=self._temperature,
                seed=self._seed + prompt.sample,
            )
            choice, used = reply.choices[0], reply.usage
            tokens = (used.prompt_tokens, used.completion_tokens) if used else (0, 0)
            return Answer(choice.message.content or "", choice.finish_reason, tokens)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return Answer(str(error), "refused")  # of this prompt: too long, or not allowed
        except openai.OpenAIError as error:
            raise InputError(
                f"{self._endpoint.url} does not answer as an OpenAI-compatible server "
                f"({type(error).__name__}: {error}): check sample_teacher.endpoint; answers that "
                "came before are kept"
            ) from None
        except (AttributeError, IndexError, TypeError) as error:
            raise InputError(
                f"{self._endpoint.url} sends no chat completion ({error}): check its url"
            ) from None

    def _wait(self) -> None:
        """Wait until the rate allows the next request."""
        rate = self._endpoint.requests_per_minute
        if rate is None:
            return
        with self._pace:
            now = time.monotonic()
            start = max(now, self._next_start)
            self._next_start = start + 60 / rate
        time.sleep(start - now)

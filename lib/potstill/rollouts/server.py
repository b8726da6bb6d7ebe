"""The student at a server, which takes its weights and answers: of a GPU, where llama.cpp is slow.

vLLM needs VLLM_SERVER_DEV_MODE=1 for new weights (`/collective_rpc`). SGLang heeds seeds only with
`--enable-deterministic-inference`, and tells log-probabilities after the temperature, so it is
asked at 1 only. The server was started on the model that the student goes on from, and sees the
shared folder under the same path.

Sources: vLLM `entrypoints/serve/dev` (collective_rpc, reset_prefix_cache) and `gpu_worker.py`
(reload_weights); SGLang `entrypoints/http_server.py` (update_weights_from_disk).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from potstill import files
from potstill.errors import InputError
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.rollouts.endpoint import Client
from potstill.rollouts.recipe import Server
from potstill.runtime import Answer, Request

if TYPE_CHECKING:
    from openai import OpenAI


FOLDER = "student"  # below the shared one: nothing else there is touched


def _seed(request: Request) -> int:
    """Return a seed of this prompt, sample and round: two prompts draw independently."""
    named = (str(request.sampling.seed), str(request.sample), str(list(request.prompt)))
    return int(files.row_id("served", *named), 16)


class ServerPolicy:
    """Answers of a server that holds the student's weights; see `rounds.Policy`."""

    def __init__(self, server: Server, start: Path) -> None:
        """Connect to nothing yet.

        Args:
            server: where it is.
            start: the checkpoint that the student begins as.
        """
        self._server, self._start, self._client = server, start, Client(server)
        self._chat = ChatTokenizer(start)

    def take(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Write the student's checkpoint and let the server read it.

        Raises:
            InputError: the server refuses it.
        """
        folder = Path(self._server.folder).resolve() / FOLDER
        if folder.resolve() == self._start.resolve():
            raise InputError(f"server.folder: {folder} is what the student goes on from")
        changed = {name: weight.cpu() for name, weight in weights}
        state = {
            name: changed.get(name, tensor).to(torch.bfloat16)
            for name, tensor in checkpoint.tensors(self._start)
        }
        partial = files.partial_path(folder)
        files.remove(partial)
        checkpoint.write(partial, state, checkpoint.read_config(self._start), beside=self._start)
        files.publish(partial, folder)
        self._client.each([str(folder)], self._reload)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the answers in order, with the log-probability of each id.

        Raises:
            InputError: the server fails, or does not tell ids and log-probabilities.
        """
        return self._client.each(list(requests), self._ask)

    def _reload(self, client: "OpenAI", folder: str) -> None:
        if self._server.kind == "sglang":
            body: dict[str, Any] = {"model_path": folder, "flush_cache": True}
            reply: Any = client.post("/update_weights_from_disk", body=body, cast_to=object)
            if not reply.get("success"):
                raise InputError(f"{self._server.url} refuses {folder}: {reply.get('message')}")
            return
        body = {"method": "reload_weights", "kwargs": {"weights_path": folder}}
        client.post("/collective_rpc", body=body, cast_to=object)
        client.post("/reset_prefix_cache", cast_to=object)

    def _ask(self, client: "OpenAI", request: Request) -> Answer:
        ask = self._ask_sglang if self._server.kind == "sglang" else self._ask_vllm
        try:
            ids, log_probs, finish = ask(client, request)
        except (KeyError, IndexError, TypeError) as error:
            raise InputError(
                f"{self._server.url} does not tell the ids of its answers ({error!r}): use a "
                f"newer {self._server.kind}"
            ) from None
        if finish not in ("stop", "length") or len(ids) != len(log_probs):
            raise InputError(
                f"{self._server.url} ended an answer by {finish!r} with {len(ids)} ids: look at "
                "its log, and run again"
            )
        ended = finish == "stop" and bool(ids) and ids[-1] in self._chat.stop_ids
        ids, log_probs = (ids[:-1], log_probs[:-1]) if ended else (ids, log_probs)
        return Answer(
            ids=ids,
            text=self._chat.decode(ids),
            finish="stop_id" if finish == "stop" else "length",
            logprobs=log_probs,
        )

    def _ask_vllm(self, client: "OpenAI", request: Request) -> tuple[list[int], list[float], str]:
        how = request.sampling
        body = {
            "model": self._server.model,
            "prompt": list(request.prompt),
            "max_tokens": request.max_tokens,
            "temperature": how.temperature,
            "top_p": how.top_p,
            "seed": _seed(request) % 2**63,
            # a server takes what is not said from generation_config.json
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop_token_ids": sorted(self._chat.stop_ids),
            "add_special_tokens": False,
            "logprobs": 0,
            "return_token_ids": True,
        }
        reply: Any = client.post("/v1/completions", body=body, cast_to=object)
        choice = reply["choices"][0]
        log_probs = [float(value) for value in choice["logprobs"]["token_logprobs"]]
        return list(choice["token_ids"]), log_probs, choice["finish_reason"]

    def _ask_sglang(self, client: "OpenAI", request: Request) -> tuple[list[int], list[float], str]:
        how = request.sampling
        params = {
            "max_new_tokens": request.max_tokens,
            "temperature": how.temperature,
            "top_p": how.top_p,
            "sampling_seed": _seed(request) % 2**31,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "stop_token_ids": sorted(self._chat.stop_ids),
        }
        body = {
            "input_ids": list(request.prompt),
            "sampling_params": params,
            "return_logprob": True,
        }
        reply: Any = client.post("/generate", body=body, cast_to=object)
        told = reply["meta_info"]
        found = [(int(index), float(value)) for value, index, *_ in told["output_token_logprobs"]]
        finish = told["finish_reason"]["type"]
        return [index for index, _ in found], [value for _, value in found], finish

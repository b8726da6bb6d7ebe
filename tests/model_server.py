"""A tiny checkpoint behind the parts of vLLM's and SGLang's interfaces that rollouts use.

The model is real, transformers computes it; the shapes of requests and replies are those of the
two projects' sources, and what they refuse is refused. Faults are set by a test.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import torch
from transformers import AutoModelForCausalLM

from tests.serving import Replies, running


class Model:
    """What the server holds.

    spoil: of a reply what is sent instead; a number is a status, None closes the connection.
    calls: the paths that were asked, with the body.
    """

    def __init__(self, folder, max_logprobs=20):
        self.load(folder)
        self.max_logprobs, self.calls, self.lock = max_logprobs, [], threading.Lock()
        self.spoil = lambda path, reply: reply

    def load(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def log_probs(self, ids):
        logits = self.model(torch.tensor([ids])).logits[0]
        return torch.log_softmax(logits.double(), -1)

    def tops(self, ids, top):
        """Return (id, log-probability) pairs of each place but the first."""
        best = self.log_probs(ids)[:-1].topk(top, -1)
        return [list(zip(i, v, strict=True)) for i, v in
                zip(best.indices.tolist(), best.values.tolist(), strict=True)]  # fmt: skip

    def answer(self, ids, most, stops, seed):
        source, made = torch.Generator().manual_seed(seed), []
        while len(made) < most:
            spread = self.log_probs([*ids, *(i for i, _ in made)])[-1]
            chosen = int(torch.multinomial(spread.exp(), 1, generator=source))
            made.append((chosen, float(spread[chosen])))
            if chosen in stops:
                return made, "stop"
        return made, "length"

    def vllm(self, asked):
        assert asked["add_special_tokens"] is False, "ids are handed over"
        ids, choice = asked["prompt"], {"index": 0, "prompt_logprobs": None}
        if (top := asked.get("prompt_logprobs")) is not None:
            if top > self.max_logprobs:
                return 400, {"error": {"message": "prompt_logprobs is above max_logprobs"}}
            every, places = self.log_probs(ids), [None]
            for number, place in enumerate(self.tops(ids, top)):
                own = ids[number + 1]  # vLLM tells of the text's own id too
                pairs = dict(place) | {own: float(every[number, own])}
                places.append({str(i): {"logprob": v, "rank": 1, "decoded_token": ""}
                               for i, v in pairs.items()})  # fmt: skip
            choice["prompt_logprobs"] = places
        stops = asked.get("stop_token_ids", ())
        made, finish = self.answer(ids, asked["max_tokens"], stops, asked.get("seed", 0))
        if asked.get("return_token_ids"):
            choice["token_ids"] = [i for i, _ in made]
        if asked.get("logprobs") is not None:
            choice["logprobs"] = {"token_logprobs": [v for _, v in made]}
        return 200, {"object": "text_completion", "choices": [{**choice, "finish_reason": finish}]}

    def sglang(self, asked):
        ids, how = asked["input_ids"], asked["sampling_params"]
        stops = how.get("stop_token_ids", ())
        made, finish = self.answer(ids, how["max_new_tokens"], stops, how.get("sampling_seed", 0))
        told = {"finish_reason": {"type": finish}}
        if asked.get("return_logprob"):
            told["output_token_logprobs"] = [[v, i, None] for i, v in made]
            if top := asked.get("top_logprobs_num"):
                assert asked["logprob_start_len"] == 0
                places = [[[v, i, None] for i, v in place] for place in self.tops(ids, top)]
                told["input_top_logprobs"] = [None, *places]
        return 200, {"text": "", "meta_info": told}

    def reload(self, asked):
        self.load(asked.get("model_path") or asked["kwargs"]["weights_path"])
        return 200, {"success": True, "message": "", "results": [None]}


@contextmanager
def serve(folder, **how):
    """Yield the base URL of a server of a checkpoint, and its `Model`."""
    model = Model(folder, **how)
    paths = {
        "/v1/completions": model.vllm,
        "/generate": model.sglang,
        "/update_weights_from_disk": model.reload,
        "/collective_rpc": model.reload,
        "/reset_prefix_cache": lambda _: (200, {}),
    }

    class Handler(Replies, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            size = int(self.headers.get("Content-Length") or 0)
            asked = json.loads(self.rfile.read(size) or b"{}")
            with model.lock:
                model.calls.append((self.path, asked))
                status, reply = paths[self.path](asked)
            reply = model.spoil(self.path, reply)
            if reply is None:
                self.connection.close()
                return
            if isinstance(reply, int):
                status, reply = reply, {}
            self.send(reply, status)

    with running(Handler) as url:
        yield url, model

"""An OpenAI-compatible endpoint that answers by a rule, as no tiny model can; it counts."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.serving import Replies, running


@contextmanager
def endpoint(answer, hang_after=None, port=0):
    """Serve `answer(text of the last message) -> text`; yield the url and the texts that came.

    After so many requests none is answered any more.
    """
    seen, lock, over = [], threading.Lock(), threading.Event()

    class Handler(Replies, BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = asked["messages"][-1]["content"]
            with lock:
                seen.append(text)
                if hang_after is not None and len(seen) > hang_after:
                    over.wait(60)
            said = {"role": "assistant", "content": answer(text)}
            choice = {"index": 0, "message": said, "finish_reason": "stop"}
            used = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            reply = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
            self.send({**reply, "choices": [choice], "usage": used})

    with running(Handler, port) as url:
        try:
            yield f"{url}/v1", seen
        finally:
            over.set()

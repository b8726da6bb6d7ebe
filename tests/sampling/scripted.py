"""An OpenAI-compatible endpoint that answers by a rule, as no tiny model can; it counts."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def endpoint(answer, hang_after=None, port=0):
    """Serve `answer(text of the last message) -> text`; yield the url and the texts that came.

    After so many requests none is answered any more.
    """
    seen, lock, over = [], threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
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
            body = json.dumps({**reply, "choices": [choice], "usage": used}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        over.set()
        server.shutdown()
        server.server_close()

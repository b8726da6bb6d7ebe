"""A server with OpenAI's batch API that forwards each request to a real one; its faults are set.

It checks what OpenAI checks of a file (unique ids, method, url) and answers in the shapes of its
documentation. Nothing is kept when it ends.
"""

import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import httpx

from tests.serving import Replies

JSON = {"Content-Type": "application/json"}
EXPIRED = "This request could not be executed before the completion window expired."


class State:
    """What the server holds, and what a test sets.

    faults: by (method, kind of path) what happens to the next calls: a status, "dead" (the
        connection closes) or "lost" (it is done, and the connection closes before the reply).
    inject: of a request's fields the (status, reply) that stands for the forwarded one, or None.
    ending, stop_after: how the next batches end, and after how many requests.
    held: batches stay in progress while it is set.
    stuck: (method, kind of path) of calls that are done, and get no reply while it is set.
    """

    def __init__(self, target):
        self.target, self.lock, self.numbers = target, threading.Lock(), count(1)
        self.faults, self.inject, self.ending, self.stop_after = {}, None, "completed", None
        self.held, self.stuck = threading.Event(), None
        self.calls, self.files, self.batches, self.asked = [], {}, {}, []
        self.has_batches, self.has_list, self.keys = True, True, set()

    def count_of(self, method, kind):
        return self.calls.count((method, kind))

    def answer(self, fields):
        """Return status and reply to one request."""
        self.asked.append(fields)
        given = self.inject(fields) if self.inject else None
        if given:
            return given
        path = f"{self.target}/chat/completions"
        reply = httpx.post(path, json=fields, headers=JSON, timeout=60)
        return reply.status_code, reply.json()

    def upload(self, content):
        name = f"file-{next(self.numbers)}"
        self.files[name] = content
        return {"id": name, "object": "file", "purpose": "batch", "bytes": len(content)}

    def create(self, asked):
        now = int(time.time())
        batch = {
            "id": f"batch_{next(self.numbers)}", "object": "batch", "status": "validating",
            "endpoint": asked["endpoint"], "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"], "created_at": now,
            "expires_at": now + 86400, "errors": None, "output_file_id": None,
            "error_file_id": None, "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }  # fmt: skip
        self.batches[batch["id"]] = batch
        how = (batch, self.ending, self.stop_after)
        threading.Thread(target=self.work, args=how, daemon=True).start()
        return batch

    def work(self, batch, ending, stop_after):
        rows = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        wrong = len({row["custom_id"] for row in rows}) < len(rows)
        wrong |= any((r["method"], r["url"]) != ("POST", batch["endpoint"]) for r in rows)
        if wrong or ending == "failed":
            error = {"code": "token_limit_exceeded", "message": "Enqueued token\nlimit reached"}
            error = {"code": "invalid_file", "message": "wrong lines"} if wrong else error
            batch.update(status="failed", errors={"object": "list", "data": [error]})
            return
        counts = batch["request_counts"]
        batch["status"], counts["total"] = "in_progress", len(rows)
        out, errors = [], []
        for number, row in enumerate(reversed(rows)):  # in any order
            line = {"id": f"batch_req_{number}", "custom_id": row["custom_id"]}
            if stop_after is not None and number >= stop_after:
                error = {"code": f"batch_{ending}", "message": EXPIRED}
                errors.append({**line, "response": None, "error": error})
                continue
            status, reply = self.answer(row["body"])
            response = {"status_code": status, "request_id": "r", "body": reply}
            (out if status == 200 else errors).append({**line, "response": response, "error": None})
            counts["completed" if status == 200 else "failed"] += 1
        while self.held.is_set():
            time.sleep(0.01)
        named = {
            kind: self.upload("".join(json.dumps(row) + "\n" for row in lines).encode())["id"]
            for kind, lines in (("output_file_id", out), ("error_file_id", errors))
            if lines
        }
        batch.update(named)
        batch["status"] = ending


class Handler(Replies, BaseHTTPRequestHandler):
    """The routes."""

    protocol_version = "HTTP/1.1"
    state: State

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            head = rb'name="file"; filename="potstill-\w+\.jsonl".*?\r\n\r\n'
            found = re.search(head + rb"(.*?)\r\n--", body, re.S)
            assert found, body[:500]
            assert b'name="purpose"\r\n\r\nbatch' in body
            self.reply("files", lambda: (200, self.state.upload(found.group(1))))
        elif self.path == "/v1/batches":
            self.reply("batches", lambda: (200, self.state.create(json.loads(body))))
        else:
            assert self.path == "/v1/chat/completions"
            self.reply("chat", lambda: self.state.answer(json.loads(body)))

    def do_GET(self):
        state, path = self.state, self.path.partition("?")[0]
        if path == "/v1/batches":
            newest = list(state.batches.values())[::-1]
            page = {"object": "list", "data": newest, "has_more": False}
            self.reply("list", lambda: (200, page) if state.has_list else (404, {}))
        elif found := re.fullmatch(r"/v1/batches/(\w+)", path):
            batch = state.batches.get(found.group(1))
            self.reply("batch", lambda: (200, batch) if batch else (404, {}))
        else:
            content = state.files.get(path.split("/")[3])
            self.reply("content", lambda: (200, content) if content is not None else (404, {}))

    def reply(self, kind, act):
        state = self.state
        with state.lock:
            state.calls.append((self.command, kind))
            state.keys.add(self.headers["Authorization"])
            plan = state.faults.get((self.command, kind))
            fault = plan.pop(0) if plan else None
        if fault != "dead" and not isinstance(fault, int):
            there = state.has_batches or kind == "chat"
            status, reply = act() if there else (404, {"detail": "Not Found"})
        while state.stuck == (self.command, kind):
            time.sleep(0.01)
        if fault in ("dead", "lost"):
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if isinstance(fault, int):
            status, reply = fault, {"error": {"message": "a fault", "code": None}}
        self.send(reply, status, Retry_After="0.02")


def start(target):
    """Return a running server, and its state, which has its url."""
    state = State(target)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), type("Routes", (Handler,), {"state": state}))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/v1"
    return httpd, state

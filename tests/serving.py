"""What the HTTP servers of the tests share: replies, and a server that runs in a block."""

import json
import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer


class Replies:
    """Of a `BaseHTTPRequestHandler`, which says nothing on stderr."""

    def send(self, content, status=200, **headers):
        """Send bytes as they are, anything else as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def running(handler, port=0):
    """Serve by a handler; yield the base URL. Requests that hang end with the process."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

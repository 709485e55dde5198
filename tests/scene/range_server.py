"""A web server on this machine that gives files in parts, and can misbehave."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class RangeServer:
    """Files by path, and what the server did with them. May be changed while it serves."""

    files: dict[str, bytes]
    status: int = 0
    """The answer to every request, where not 0."""
    hiccups: int = 0
    """How many of the next requests are answered with 503."""
    ranges: bool = True
    version: str = '"1"'
    port: int = 0
    requests: list[str] = field(default_factory=list)
    sent_bytes: int = 0

    def url(self, path: str, *, login: str = "", query: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}/{path}{query}"


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[RangeServer]:
    """Serves ``files`` on a free port of the loopback interface."""
    state = RangeServer(files=files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

        def _answer(self, *, with_body: bool) -> None:
            name = self.path.partition("?")[0].lstrip("/")
            state.requests.append(name)
            status, body, headers = _status_and_body(state, name, self.headers.get("Range"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if with_body:
                try:
                    self.wfile.write(body)
                    state.sent_bytes += len(body)
                except ConnectionError:  # the client has seen enough
                    self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _status_and_body(state: RangeServer, name: str, wanted: str | None) -> tuple[int, bytes, dict[str, str]]:
    if state.hiccups > 0:
        state.hiccups -= 1
        return 503, b"", {}
    if state.status:
        return state.status, b"", {}
    if name not in state.files:
        return 404, b"", {}
    body = state.files[name]
    headers = {"ETag": state.version}
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
    if match is None or not state.ranges:
        return 200, body, headers
    start, stop = int(match[1]), int(match[2] or len(body) - 1) + 1
    part = body[start:stop]
    if not part:
        return 416, b"", headers
    headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(body)}"
    return 206, part, headers

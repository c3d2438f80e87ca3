"""A proxy between headspan and a store that counts requests, and spoils some of them as networks and stores do.

What is spoiled follows from a seed and the number of the request: statuses 500 and 503 (SlowDown), bodies cut at a random byte, writes
that are done and whose answer is lost, delays.
"""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import loopback

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
# Headers that belong to one connection.
OWN = ("connection", "transfer-encoding", "keep-alive")


class Proxy(loopback.Loopback):
    """Passes requests on to a port of this machine. With a seed it spoils some; uploads of activations it can delay."""

    def __init__(
        self, port: int, seed: int | None = None, longest_delay: float = 1.0, upload_delay: float = 0.0
    ) -> None:
        self.target, self.longest_delay, self.upload_delay = port, longest_delay, upload_delay
        self.random = None if seed is None else random.Random(seed)
        self.lock = threading.Lock()
        self.reset()
        super().__init__(Handler)

    def reset(self) -> None:
        """Counts from here on: requests with what was sent for each, and what was spoiled."""
        with self.lock:
            self.requests: list[tuple[str, str, int]] = []
            self.spoiled: dict[str, int] = {}

    @property
    def sent(self) -> int:
        """Bytes that were sent."""
        with self.lock:
            return sum(length for _, _, length in self.requests)

    def fault(self, method: str) -> tuple[str, float]:
        """What happens to a request, and a number from 0 to 1 that says how much of it."""
        with self.lock:
            if self.random is None:
                return "none", 0.0
            kinds, weights = ("none", "500", "503", "cut", "delay"), (70, 6, 6, 14, 4)
            kind = self.random.choices(kinds, weights)[0]
            if kind == "cut" and method != "GET":
                kind = "none" if method == "HEAD" else "lost"
            if kind != "none":
                self.spoiled[kind] = self.spoiled.get(kind, 0) + 1
            return kind, self.random.random()

    def answer(self, request: loopback.Handler) -> None:
        """Answers a request, and takes note of it, also if whoever asked is gone."""
        sent = 0
        try:
            sent = self.answered(request)
        finally:
            with self.lock:
                self.requests.append((request.command, request.path, sent))

    def answered(self, request: loopback.Handler) -> int:
        length = int(request.headers.get("content-length") or 0)
        body = request.rfile.read(length) if length else None
        kind, much = self.fault(request.command)
        if kind in ("500", "503"):
            request.send_response(int(kind))
            request.send_header("content-length", str(len(SLOW_DOWN)))
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(SLOW_DOWN)
            return 0
        if request.command == "PUT" and "/activations/" in request.path:
            time.sleep(self.upload_delay)
        if kind == "delay":
            time.sleep(much * self.longest_delay)
        forward = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in OWN}
            forward.request(request.command, request.path, body, headers)
            response = forward.getresponse()
            content = response.read()
            headers = dict(response.getheaders())
        finally:
            forward.close()
        if kind == "lost":
            hang_up(request)
            return 0
        request.send_response(response.status)
        for name, value in headers.items():
            if name.lower() not in (*OWN, "content-length"):
                request.send_header(name, value)
        size = headers.get("Content-Length", "0") if request.command == "HEAD" else str(len(content))
        request.send_header("content-length", size)
        request.end_headers()
        part = content[: int(much * len(content))] if kind == "cut" else content
        request.wfile.write(part)
        if kind == "cut":
            request.wfile.flush()
            hang_up(request)
        return len(part)

    def told_spoiled(self) -> str:
        """What was spoiled, in words."""
        with self.lock:
            spoiled = ", ".join(f"{count} {kind}" for kind, count in sorted(self.spoiled.items()))
            return f"of {len(self.requests)} requests were spoiled: {spoiled}"


def hang_up(request: loopback.Handler) -> None:
    """Ends a connection in the middle of an answer, or before it."""
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def counted(proxy: Proxy) -> Iterator[Counter[str]]:
    """Counts the requests while the context lasts, by method; downloads of activations are named so."""
    found: Counter[str] = Counter()
    before = len(proxy.requests)
    yield found
    for method, path, length in proxy.requests[before:]:
        found["LIST" if method == "GET" and "list-type" in path else method] += 1
        if method == "GET" and "/activations/part-" in path:
            found["bytes of activations"] += length


def told(requests: Counter[str]) -> str:
    """Requests in words."""
    methods = ("GET", "HEAD", "LIST", "PUT", "DELETE", "POST")
    counts = [f"{requests[method]} {method}" for method in methods if requests[method]]
    size = [f"{requests['bytes of activations']} bytes of activations"] if requests["bytes of activations"] else []
    return ", ".join([*counts, *size]) or "no requests"


class Handler(loopback.Handler):
    """One connection to the proxy."""

    server: Proxy

    def do_GET(self) -> None:
        self.server.answer(self)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

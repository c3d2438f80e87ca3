"""Servers on a free port of this machine, for the checks beside this file."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cases import must


class Handler(BaseHTTPRequestHandler):
    """One connection, which stays open between requests. It says nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Loopback(ThreadingHTTPServer):
    """Answers in the background until it is closed."""

    daemon_threads = True

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of connections of processes that were killed."""

    @property
    def address(self) -> str:
        """Where programs reach it."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until a server answers."""
    end = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            must(time.monotonic() < end and server.poll() is None, "the server did not start")
            time.sleep(0.2)


def s3_server(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Starts moto as an S3 server, and waits until it answers. Gives its process and its port."""
    program = shutil.which("moto_server", path=str(Path(sys.executable).parent)) or shutil.which("moto_server")
    must(program is not None, "moto_server is not installed: pip install -r tools/cluster/requirements.txt")
    log, port = (folder / "server.txt").open("wb"), free_port()
    server = subprocess.Popen([str(program), "-p", str(port)], stdout=log, stderr=log)
    wait_for(port, server)
    return server, port

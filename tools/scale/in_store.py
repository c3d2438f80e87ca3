"""A run in an S3 server on this machine: the world of simulate.py once more, with what it takes away and puts back by requests.

Two servers can be had. moto is the one that the checks in tools/cluster use; it lists a thousand keys by going through all of them, so
it suits thousands of parts. small_store.py beside this file suits 100,000. Requests are counted from the server's log, so that no proxy is
in the way. The images stay on the disk.
"""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import unescape

import world

HERE = Path(__file__).resolve().parent
BUCKET = "lab"
BELOW = "some/runs"
# The servers ask for a signature at most, and not whether it is right.
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=nobody/20260101/us-east-1/s3/aws4_request, Signature=none"
}
COPY_OF = "x-amz-copy-source"
AT_ONCE = 200
# Answers other than 200 are in colours in moto's log.
LINE = re.compile(r'"(?:\x1b\[[0-9;]*m)*(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP')


def asked(line: str) -> str | None:
    r"""What a line of a log says of a request: its method, and the folder of the run.

    >>> asked('127.0.0.1 - - [30/Nov/2026 11:00:00] "GET /lab?list-type=2&prefix=some%2Fruns HTTP/1.1" 200 -')
    'LIST'
    >>> asked('"PUT /lab/some/runs/pixels/scenes-4/activations/part-00001.parquet HTTP/1.1" 200 -')
    'PUT activations'
    >>> asked('"\x1b[35m\x1b[1mGET /lab/some/runs/pixels/scenes-4/moments.parquet HTTP/1.1\x1b[0m" 206 -')
    'GET'
    >>> asked('"HEAD /lab/some/runs/pixels/scenes-4/jobs.json HTTP/1.1" 404 -')
    'HEAD'
    """
    if not (found := LINE.search(line)):
        return None
    method, target = found.groups()
    path, _, query = target.partition("?")
    if method == "GET" and "list-type" in query:
        return "LIST"
    # Bucket, runs (two), data set and model come first.
    names = path.removeprefix("/").split("/")[5:]
    return f"{method} {names[0]}" if len(names) > 1 else method


class Log:
    """The log of a server, read from where it was last read."""

    def __init__(self, path: Path) -> None:
        self.path, self.read_to = path, 0

    def counted(self) -> dict[str, int]:
        """Requests since the last call."""
        with self.path.open(encoding="utf-8", errors="replace") as file:
            file.seek(self.read_to)
            found = Counter(what for line in file.readlines() if (what := asked(line)))
            self.read_to = file.tell()
        return dict(sorted(found.items()))


class Server:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Log) -> None:
        self.process, self.port, self.log = process, port, log
        # It opens itself again where a server closes it after each answer.
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait()

    def ask(self, method: str, path: str, body: bytes | None = None, copy_of: str = "") -> bytes:
        self.connection.request(
            method, f"/{BUCKET}{path}", body, SIGNED | ({COPY_OF: copy_of} if copy_of else {})
        )
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            sys.exit(
                f"{method} {path} was answered with {answer.status}:\n{content.decode(errors='replace')[:2000]}"
            )
        return content

    def keys(self, prefix: str) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            query = f"?list-type=2&prefix={quote(prefix, safe='')}{token}"
            page = self.ask("GET", query).decode()
            found += [unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", page)]
            after = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", page)
            if not after:
                return found
            token = f"&continuation-token={quote(unescape(after[1]), safe='')}"

    def copy(self, pairs: list[tuple[str, str]]) -> None:
        """Copies files within the store, by keys: from, to."""
        for source, target in pairs:
            self.ask("PUT", f"/{target}", copy_of=f"/{BUCKET}/{source}")


class Small(Server):
    """The small server, which takes many requests at once on one connection."""

    def copy(self, pairs: list[tuple[str, str]]) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            for first in range(0, len(pairs), AT_ONCE):
                some = pairs[first : first + AT_ONCE]
                asked = (
                    f"PUT /{BUCKET}/{target} HTTP/1.1\r\n{COPY_OF}: /{BUCKET}/{source}\r\n\r\n"
                    for source, target in some
                )
                connection.sendall("".join(asked).encode())
                answers = b""
                while answers.count(b"HTTP/1.1 200") < len(some):
                    if not (more := connection.recv(1 << 20)):
                        sys.exit(
                            f"the server copied nothing more:\n{answers[-1000:].decode(errors='replace')}"
                        )
                    answers += more


def moto(folder: Path) -> Server:
    # Only here: its library asks for moto.
    sys.path.append(str(HERE.parent / "cluster"))
    from loopback import s3_server

    process, port = s3_server(folder)
    return Server(process, port, Log(folder / "server.txt"))


def small(folder: Path, latency: float) -> Small:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.txt"
    words = [sys.executable, str(HERE / "small_store.py"), str(port), str(log), str(latency)]
    server = subprocess.Popen(words)
    end = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return Small(server, port, Log(log))
        except OSError:
            if time.monotonic() > end or server.poll() is not None:
                sys.exit("the server did not start")
            time.sleep(0.1)


class StoreWorld(world.World):
    """The same with the runs in a store."""

    def __init__(self, program: Path, folder: Path, parts: int, copies: bool, server: Server) -> None:
        super().__init__(program, folder, parts, copies=copies)
        self.server, self.machine = server, 0
        # Makes the bucket.
        server.ask("PUT", "")

    @property
    def runs(self) -> str:
        return f"s3://{BUCKET}/{BELOW}"

    @property
    def cache(self) -> Path:
        return self.folder / f"cache-{self.machine}"

    @property
    def submission(self) -> list[str]:
        return [*super().submission, "--logs", str(self.folder / "logs")]

    @property
    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in super().environment.items() if not name.startswith("AWS_")}
        return own | {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.port}",
            "AWS_CONFIG_FILE": str(self.folder / "no config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "no credentials"),
            "HEADSPAN_CACHE": str(self.cache),
            "NO_PROXY": "127.0.0.1",
        }

    def call(self, what: str, *words: str) -> world.Measured:
        self.server.log.counted()
        measured = super().call(what, *words)
        measured.requests = self.server.log.counted()
        return measured

    def copy(self, parts: list[int]) -> None:
        sources = [self.key(name) for name in world.files_of_part(world.COPIED)]
        pairs = [
            (source, self.key(name))
            for part in parts
            for source, name in zip(sources, world.files_of_part(part), strict=True)
        ]
        self.server.copy(pairs)

    def on_another_machine(self) -> None:
        # It has as many files as the run.
        shutil.rmtree(self.cache, ignore_errors=True)
        self.machine += 1

    def key(self, name: str) -> str:
        return f"{BELOW}/{world.DATASET}/{self.model}/{name}"

    def parts_there(self) -> int:
        return len(self.server.keys(self.key("activations/part-")))

    def take_away(self, name: str) -> bytes:
        path = f"/{self.key(name)}"
        content = self.server.ask("GET", path)
        self.server.ask("DELETE", path)
        return content

    def set_aside(self, part: int) -> Callable[[], None]:
        kept = {name: self.take_away(name) for name in world.files_of_part(part)}

        def put_back() -> None:
            for name, content in kept.items():
                self.server.ask("PUT", f"/{self.key(name)}", content)

        return put_back

    def forget_images(self) -> None:
        for name in world.FILES_OF_MERGE:
            self.server.ask("DELETE", f"/{self.key(name)}")


def by_method(requests: dict[str, int]) -> str:
    """Requests in words, whatever folders they were for.

    >>> by_method({"GET": 1, "GET parts": 20_000, "LIST": 2})
    '20,001 GET, 2 LIST'
    """
    found: Counter[str] = Counter()
    for what, count in requests.items():
        found[what.partition(" ")[0]] += count
    return ", ".join(f"{count:,} {method}" for method, count in sorted(found.items()))

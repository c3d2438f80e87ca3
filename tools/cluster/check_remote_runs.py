"""Runs in a store: the demo and shards over an S3 server on this machine, with faults, against the tables of local runs.

    python3 tools/cluster/check_remote_runs.py BIN [--only demo,questions,shards] [--keep]

It needs `moto[server]` from PyPI in this Python, which is the S3 server. All requests go through a proxy that counts them, and that
slows down the uploads of single processes.

    demo       `headspan run-all` with runs in the store
    questions  status, plan, query, export and explore on them, with the number of requests
    shards     four shards as four processes at once, of which one is killed in the middle and started again, and one is extracted
               by another process too; then what joins them

What must hold: the tables of local runs, byte for byte; the same answers; nothing but the files of a run in the store; the secret key
nowhere. The exit code is 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BUCKET = "lab"
RUNS = f"s3://{BUCKET}/some/runs"
MODEL = "scenes-4"
SECRET = secrets.token_urlsafe(30)
# Shorter than for people: a lock of a killed process is waited for.
LEASE_SECS = 8
PART_ROWS = 50
# Longest wait for a process; a machine under load is slow, and nothing here depends on when things happen.
SECONDS = 300


class Failed(Exception):
    """Something that must hold did not."""


def must(holds: bool, what: str) -> None:
    """Ends the case with a sentence if something does not hold."""
    if not holds:
        raise Failed(what)


class Proxy(ThreadingHTTPServer):
    """Passes requests on, and takes note of them."""

    daemon_threads = True

    def __init__(self, store: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store, self.delay = store, 0.0
        self.seen: list[tuple[str, str, int]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of connections of processes that were killed."""

    @property
    def url(self) -> str:
        """Where programs reach it."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Counts the requests while the context lasts, by method; downloads of activations are named so."""
        found: Counter[str] = Counter()
        before = len(self.seen)
        yield found
        for method, path, length in self.seen[before:]:
            found["LIST" if method == "GET" and "list-type" in path else method] += 1
            if method == "GET" and "/activations/part-" in path:
                found["bytes of activations"] += length


class Handler(BaseHTTPRequestHandler):
    """One connection to the proxy."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.command == "PUT" and "/activations/" in self.path:
            time.sleep(self.server.delay)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.store)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        self.server.seen.append((self.command, self.path, len(content)))
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        if not answer.headers.get("content-length"):
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass_on

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class World:
    """The store, the program, and a folder with everything that is local."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.said: list[str] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = "from moto.server import main; main()"
        self.log = (folder / "store.log").open("wb")
        # In a folder of its own, so that this script is not looked for there.
        words = [sys.executable, "-c", server, "-H", "127.0.0.1", "-p", str(port)]
        self.server = subprocess.Popen(words, stdout=self.log, stderr=self.log)
        self.proxy, self.slow = Proxy(port), Proxy(port)
        self.slow.delay = 0.5
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADSPAN"))},
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.proxy.url,
            "AWS_CONFIG_FILE": str(folder / "no config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no credentials"),
            "HEADSPAN_CACHE": str(folder / "cache"),
            "HEADSPAN_LEASE_SECONDS": str(LEASE_SECS),
            "NO_PROXY": "127.0.0.1",
        }
        self.client = self._connect(port)

    def _connect(self, port: int) -> Any:
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        until = time.monotonic() + 60
        while True:
            try:
                client.create_bucket(Bucket=BUCKET)
                return client
            except Exception:
                must(self.server.poll() is None and time.monotonic() < until, "the S3 server does not start")
                time.sleep(0.2)

    def close(self) -> None:
        """Ends the store."""
        self.server.terminate()
        self.server.wait()

    def start(self, *arguments: str | Path | int, slowly: bool = False, **more: str) -> subprocess.Popen[str]:
        """Starts the program."""
        environment = {**self.environment, **more}
        if slowly:
            environment["AWS_ENDPOINT_URL"] = self.slow.url
        words = [str(self.program), *(str(argument) for argument in arguments)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, env=environment, cwd=self.folder, **pipes)

    def end(self, process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
        """What a process printed, which must end with this code."""
        stdout, stderr = process.communicate(timeout=SECONDS)
        self.said += [stdout, stderr]
        words = " ".join(list(process.args)[1:4])  # type: ignore[arg-type]
        must(process.returncode == code, f"{words} ended with {process.returncode}:\n{stderr}")
        return stdout, stderr

    def call(self, *arguments: str | Path | int, **more: str) -> str:
        """Stdout of the program, which must succeed."""
        return self.end(self.start(*arguments, **more))[0]

    def keys(self, below: str) -> list[str]:
        """What is in the store below a key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=below)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """A file of the store."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def compare(self, dataset: str) -> int:
        """Compares all tables of a data set's runs with the local ones. Returns their number."""
        folder, prefix = self.folder / "runs" / dataset, f"some/runs/{dataset}/"
        local = {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}
        remote = {key.removeprefix(prefix) for key in self.keys(prefix) if key.endswith(".parquet")}
        must(local == remote, f"other tables: {sorted(local ^ remote)}")
        for name in sorted(local):
            must((folder / name).read_bytes() == self.read(prefix + name), f"`{dataset}/{name}` is another")
        return len(local)


def demo(world: World) -> None:
    """The demo with runs in the store."""
    world.call("run-all", "--device", "cpu")
    begun = time.monotonic()
    with world.proxy.counted() as requests:
        world.call("run-all", "--device", "cpu", "--runs", RUNS)
    seconds = time.monotonic() - begun
    count = world.compare("scenes")
    print(f"  {count} tables are those of local runs, byte for byte; {seconds:.1f} s, {told(requests)}")
    others = [key for key in world.keys("some/runs/") if "/.locks/" in key or key.endswith(".tmp")]
    must(not others, f"left in the store: {others}")
    with world.proxy.counted() as requests:
        answer = json.loads(world.call("run-all", "--json", "--device", "cpu", "--runs", RUNS))
    outcomes = {stage["outcome"] for run in answer["runs"] for stage in run["stages"]}
    must(outcomes == {"up to date"}, f"a second call did something: {outcomes}")
    print(f"  the same call again finds all stages up to date: {told(requests)}")


def questions(world: World) -> None:
    """Answers about runs in the store."""
    if not world.keys("some/runs/scenes/"):
        demo(world)
    commands: dict[str, list[str | Path | int]] = {
        "status": ["status", "--json"],
        "plan": ["plan", "--json", "--device", "cpu"],
        "compare": ["compare", "--json", "--dataset", "scenes"],
        "neighbours": ["query", "neighbours", "scenes/scenes-4", "--heads", "L2.H1", "--image", "#7", "--json"],
        "extremes": ["query", "extremes", "scenes/scenes-4", "--head", "L2.H1", "--text", "a red car", "--json"],
    }
    for name, words in commands.items():
        local = json.loads(world.call(*words))
        for time_ in ("first", "again"):
            with world.proxy.counted() as requests:
                remote = json.loads(world.call(*words, "--runs", RUNS))
            print(f"  {name}, {time_}: {told(requests)}")
        must(without_places(local) == without_places(remote), f"{name} answers otherwise")
    for out in ("local.npy", "remote.npy"):
        runs = ["--runs", RUNS] if out == "remote.npy" else []
        world.call("export", "--model", "scenes/scenes-4", "--heads", "L2.H1", "--out", world.folder / out, *runs)
    same = (world.folder / "local.npy").read_bytes() == (world.folder / "remote.npy").read_bytes()
    must(same, "export writes other numbers")
    with world.proxy.counted() as requests:
        cold = {"HEADSPAN_CACHE": str(world.folder / "cold")}
        world.call("explore", "--dataset", "scenes", "--runs", RUNS, "--save", "pages", "--page", "/", **cold)
    rows = sum(len(world.read(key)) for key in world.keys("some/runs/scenes/") if "/activations/" in key)
    got = requests["bytes of activations"]
    print(f"  the explorer's start page: {told(requests)} (of {rows} bytes of activations)")
    # The footers of the parts and no column.
    must(got < rows / 4, f"the start page read {got} bytes of activations")


def shards(world: World) -> None:
    """Shards at once, with faults."""
    built_in = world.folder / "cache/built-in/scenes"
    if not (built_in / "world.json").is_file():
        demo(world)
    few = {"HEADSPAN__IMAGES__PART_ROWS": str(PART_ROWS)}
    pipeline: list[str | Path | int] = [
        *(MODEL, "--images", built_in / "images", "--classes", built_in / "classes.txt"),
        *("--texts", built_in / "descriptions.csv", "--dataset", "sharded", "--device", "cpu"),
    ]
    local: list[str | Path | int] = ["run-all", *pipeline]
    remote: list[str | Path | int] = [*pipeline, "--runs", RUNS]
    world.call(*local, **few)
    parts = f"some/runs/sharded/{MODEL}/activations/"

    def extract(shard: str, slowly: bool = False) -> subprocess.Popen[str]:
        return world.start("extract", *remote, "--shard", shard, slowly=slowly, **few)

    # One is killed when its first part is there.
    killed = extract("1/4", slowly=True)
    wait_until(lambda: any(key.startswith(parts) for key in world.keys(parts)), "the first part of a shard")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    first = set(world.keys(parts))
    begun = time.monotonic()
    # The others at once; the eighths have parts in common with the quarter.
    running = [extract(shard) for shard in ("0/4", "2/4", "3/4", "2/8", "6/8")]
    twice = extract("1/4")
    _, refused = world.end(twice, code=1)
    must("another headspan" in refused, f"a shard that somebody holds was taken:\n{refused}")
    for process in running:
        world.end(process)
    while "shard-1-of-4" in str(world.keys(f"some/runs/sharded/{MODEL}/.locks/")):
        again = extract("1/4")
        stdout, stderr = again.communicate(timeout=SECONDS)
        world.said += [stdout, stderr]
        if again.returncode == 0:
            break
        must("another headspan" in stderr, f"the shard failed:\n{stderr}")
        must(time.monotonic() - begun < 4 * LEASE_SECS, "the lock of a killed process does not end")
        time.sleep(1)
    waited = time.monotonic() - begun
    must(first <= set(world.keys(parts)), "parts of the killed process are gone")
    world.call("run-all", *remote, **few)
    count = world.compare("sharded")
    print(f"  {count} tables are those of a local run; {len(first)} parts of the killed shard stayed; it ran again {waited:.0f} s later")


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Waits for something that must come."""
    until = time.monotonic() + SECONDS
    while not holds():
        must(time.monotonic() < until, f"waited in vain for {what}")
        time.sleep(0.02)


def told(requests: Counter[str]) -> str:
    """Requests in words."""
    methods = ("GET", "HEAD", "LIST", "PUT", "DELETE", "POST")
    counts = [f"{requests[method]} {method}" for method in methods if requests[method]]
    size = [f"{requests['bytes of activations']} bytes of activations"] if requests["bytes of activations"] else []
    return ", ".join([*counts, *size]) or "no requests"


def without_places(answer: Any) -> Any:
    """An answer without what differs between two runs: where they are, and how long they took."""
    own = ("path", "seconds", "finished_at", "figures", "provenance", "table", "page")
    if isinstance(answer, dict):
        return {key: without_places(value) for key, value in answer.items() if key not in own}
    return [without_places(one) for one in answer] if isinstance(answer, list) else answer


def secret_is_nowhere(world: World) -> None:
    """The secret key is in no file of the store, no log, no cache and no message."""
    secret = SECRET.encode()
    must(not any(SECRET in said for said in world.said), "the secret key was printed")
    for key in world.keys(""):
        must(secret not in world.read(key), f"the secret key is in `{key}`")
    for path in (path for path in world.folder.rglob("*") if path.is_file()):
        must(secret not in path.read_bytes(), f"the secret key is in `{path}`")
    requests = [path for proxy in (world.proxy, world.slow) for _, path, _ in proxy.seen]
    must(not any(SECRET in path for path in requests), "the secret key is in an address")
    print(f"secrets: not in {len(world.keys(''))} files of the store, {len(world.said)} answers and {len(requests)} addresses")


CASES: dict[str, Callable[[World], None]] = {"demo": demo, "questions": questions, "shards": shards}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program headspan")
    parser.add_argument("--only", default=",".join(CASES), help="cases, divided by commas")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headspan-remote-"))
    begun, world, failed = time.monotonic(), World(arguments.program.resolve(), folder), False
    try:
        for name in arguments.only.split(","):
            print(f"{name}:", flush=True)
            CASES[name](world)
        secret_is_nowhere(world)
    except Failed as error:
        failed = True
        print(f"  FAILED: {error}")
    finally:
        world.close()
        if arguments.keep:
            print(f"kept in {folder}")
        else:
            shutil.rmtree(folder)
    print(f"{time.monotonic() - begun:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

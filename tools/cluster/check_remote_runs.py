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
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from cases import must, tried
from fault_proxy import Proxy
from loopback import s3_server

BUCKET = "lab"
RUNS = f"s3://{BUCKET}/some/runs"
MODEL = "scenes-4"
SECRET = secrets.token_urlsafe(30)
# Shorter than for people: a lock of a killed process is waited for.
LEASE_SECS = 8
PART_ROWS = 50
# Longest wait for a process; a machine under load is slow, and nothing here depends on when things happen.
SECONDS = 300


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


class World:
    """The store, the program, and a folder with everything that is local."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.said: list[str] = []
        self.server, port = s3_server(folder)
        self.proxy, self.slow = Proxy(port), Proxy(port, upload_delay=0.5)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADSPAN"))},
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.proxy.address,
            "AWS_CONFIG_FILE": str(folder / "no config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no credentials"),
            "HEADSPAN_CACHE": str(folder / "cache"),
            "HEADSPAN_LEASE_SECONDS": str(LEASE_SECS),
            "NO_PROXY": "127.0.0.1",
        }
        self.client = self._connect(port)

    def _connect(self, port: int) -> Any:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_bucket(Bucket=BUCKET)
        return client

    def close(self) -> None:
        """Ends the store."""
        self.server.terminate()
        self.server.wait()

    def start(self, *arguments: str | Path | int, slowly: bool = False, **more: str) -> subprocess.Popen[str]:
        """Starts the program."""
        environment = {**self.environment, **more}
        if slowly:
            environment["AWS_ENDPOINT_URL"] = self.slow.address
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


def demo(world: World) -> str:
    """The demo with runs in the store."""
    world.call("run-all", "--device", "cpu")
    begun = time.monotonic()
    with counted(world.proxy) as requests:
        world.call("run-all", "--device", "cpu", "--runs", RUNS)
    seconds = time.monotonic() - begun
    count = world.compare("scenes")
    print(f"  {count} tables are those of local runs, byte for byte; {seconds:.1f} s, {told(requests)}")
    others = [key for key in world.keys("some/runs/") if "/.locks/" in key or key.endswith(".tmp")]
    must(not others, f"left in the store: {others}")
    with counted(world.proxy) as requests:
        answer = json.loads(world.call("run-all", "--json", "--device", "cpu", "--runs", RUNS))
    outcomes = {stage["outcome"] for run in answer["runs"] for stage in run["stages"]}
    must(outcomes == {"up to date"}, f"a second call did something: {outcomes}")
    return f"the same call again finds all stages up to date: {told(requests)}"


def questions(world: World) -> str:
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
            with counted(world.proxy) as requests:
                remote = json.loads(world.call(*words, "--runs", RUNS))
            print(f"  {name}, {time_}: {told(requests)}")
        must(without_places(local) == without_places(remote), f"{name} answers otherwise")
    for out in ("local.npy", "remote.npy"):
        runs = ["--runs", RUNS] if out == "remote.npy" else []
        world.call("export", "--model", "scenes/scenes-4", "--heads", "L2.H1", "--out", world.folder / out, *runs)
    same = (world.folder / "local.npy").read_bytes() == (world.folder / "remote.npy").read_bytes()
    must(same, "export writes other numbers")
    with counted(world.proxy) as requests:
        cold = {"HEADSPAN_CACHE": str(world.folder / "cold")}
        world.call("explore", "--dataset", "scenes", "--runs", RUNS, "--save", "pages", "--page", "/", **cold)
    rows = sum(len(world.read(key)) for key in world.keys("some/runs/scenes/") if "/activations/" in key)
    got = requests["bytes of activations"]
    print(f"  the explorer's start page: {told(requests)} (of {rows} bytes of activations)")
    # The footers of the parts and no column.
    must(got < rows / 4, f"the start page read {got} bytes of activations")
    return "the answers of local runs"


def shards(world: World) -> str:
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
    kept = f"{len(first)} parts of the killed shard stayed"
    return f"{count} tables are those of a local run; {kept}; it ran again {waited:.0f} s later"


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
    requests = [path for proxy in (world.proxy, world.slow) for _, path, _ in proxy.requests]
    must(not any(SECRET in path for path in requests), "the secret key is in an address")
    print(f"  secrets: not in {len(world.keys(''))} files of the store, {len(world.said)} answers and {len(requests)} addresses")


CASES: dict[str, Callable[[World], str]] = {"demo": demo, "questions": questions, "shards": shards}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program headspan")
    parser.add_argument("--only", default=",".join(CASES), help="cases, divided by commas")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    arguments = parser.parse_args()

    @contextmanager
    def world(folder: Path) -> Iterator[World]:
        made = World(arguments.program.resolve(), folder)
        try:
            yield made
        finally:
            made.close()

    return tried("headspan-remote-", world, CASES, arguments.only, arguments.keep, secret_is_nowhere)


if __name__ == "__main__":
    sys.exit(main())

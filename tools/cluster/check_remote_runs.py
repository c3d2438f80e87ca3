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
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cases import must, tried
from fault_proxy import Proxy, counted, told
from program import Program, own_environment, tables, wait_until
from store import BUCKET, LEASE_SECS, Store

RUNS = f"s3://{BUCKET}/some/runs"
MODEL = "scenes-4"
PART_ROWS = 50


class World(Program):
    """The store, the program, and a folder with everything that is local."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.store = Store(folder)
        self.proxy, self.slow = Proxy(self.store.port), Proxy(self.store.port, upload_delay=0.5)
        super().__init__(program, folder, own_environment() | self.store.environment(self.proxy.address))

    def compare(self, dataset: str) -> int:
        """Compares all tables of a data set's runs with the local ones. Returns their number."""
        return self.store.must_hold(f"some/runs/{dataset}/", tables(self.folder / "runs" / dataset))


def demo(world: World) -> str:
    """The demo with runs in the store."""
    world.call("run-all", "--device", "cpu")
    begun = time.monotonic()
    with counted(world.proxy) as requests:
        world.call("run-all", "--device", "cpu", "--runs", RUNS)
    seconds = time.monotonic() - begun
    count = world.compare("scenes")
    print(f"  {count} tables are those of local runs, byte for byte; {seconds:.1f} s, {told(requests)}")
    world.store.must_be_whole("some/runs/")
    with counted(world.proxy) as requests:
        answer = json.loads(world.call("run-all", "--json", "--device", "cpu", "--runs", RUNS))
    outcomes = {stage["outcome"] for run in answer["runs"] for stage in run["stages"]}
    must(outcomes == {"up to date"}, f"a second call did something: {outcomes}")
    return f"the same call again finds all stages up to date: {told(requests)}"


def questions(world: World) -> str:
    """Answers about runs in the store."""
    if not world.store.keys("some/runs/scenes/"):
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
        world.call("explore", "--dataset", "scenes", "--runs", RUNS, "--save", "pages", "--page", "/", variables=cold)
    rows = sum(len(world.store.read(key)) for key in world.store.keys("some/runs/scenes/") if "/activations/" in key)
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
    world.call(*local, variables=few)
    parts = f"some/runs/sharded/{MODEL}/activations/"

    def extract(shard: str, slowly: bool = False) -> subprocess.Popen[str]:
        endpoint = world.slow if slowly else world.proxy
        variables = few | {"AWS_ENDPOINT_URL": endpoint.address}
        return world.start("extract", *remote, "--shard", shard, variables=variables)

    # One is killed when its first part is there.
    killed = extract("1/4", slowly=True)
    wait_until(lambda: any(key.startswith(parts) for key in world.store.keys(parts)), "the first part of a shard")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    first = set(world.store.keys(parts))
    begun = time.monotonic()
    # The others at once; the eighths have parts in common with the quarter.
    running = [extract(shard) for shard in ("0/4", "2/4", "3/4", "2/8", "6/8")]
    twice = extract("1/4")
    _, refused = world.end(twice, code=1)
    must("another headspan" in refused, f"a shard that somebody holds was taken:\n{refused}")
    for process in running:
        world.end(process)
    while "shard-1-of-4" in str(world.store.keys(f"some/runs/sharded/{MODEL}/.locks/")):
        again = extract("1/4")
        _, stderr, ended = world.ended(again)
        if ended == 0:
            break
        must("another headspan" in stderr, f"the shard failed:\n{stderr}")
        must(time.monotonic() - begun < 4 * LEASE_SECS, "the lock of a killed process does not end")
        time.sleep(1)
    waited = time.monotonic() - begun
    must(first <= set(world.store.keys(parts)), "parts of the killed process are gone")
    world.call("run-all", *remote, variables=few)
    count = world.compare("sharded")
    kept = f"{len(first)} parts of the killed shard stayed"
    return f"{count} tables are those of a local run; {kept}; it ran again {waited:.0f} s later"


def without_places(answer: Any) -> Any:
    """An answer without what differs between two runs: where they are, and how long they took."""
    own = ("path", "seconds", "finished_at", "figures", "provenance", "table", "page", "images_per_second")
    if isinstance(answer, dict):
        return {key: without_places(value) for key, value in answer.items() if key not in own}
    return [without_places(one) for one in answer] if isinstance(answer, list) else answer


def secret_is_nowhere(world: World) -> None:
    """The secret key is in no file of the store, no log, no cache and no message."""
    world.store.must_keep_secret(world.said, world.folder.rglob("*"), (world.proxy, world.slow))


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
            made.store.close()

    return tried("headspan-remote-", world, CASES, arguments.only, arguments.keep, secret_is_nowhere)


if __name__ == "__main__":
    sys.exit(main())

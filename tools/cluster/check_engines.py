"""Runs shards through Slurm and Ray on this machine, with images and runs both in an S3 store, and compares with the tables of files.

    PYTHONPATH=$PWD/python python3 tools/cluster/check_engines.py BIN [--scenes N] [--only slurm,ray,...] [--seed N] [--keep]

It needs `requirements.txt` beside it, Ray and psutil, and the package headspan of the same version as BIN, all in this Python (without
PYTHONPATH if the package is installed). It starts moto as the store, Slurm with `slurm.sh` (as root; `slurm.sh install` first) and nodes
of Ray. All requests go through proxies.

    slurm            eight shards and the job that joins them
    slurm-disturbed  two submissions at once; a task cancelled in the middle of its shard; the same command again
    ray              eight shards through `headspan submit ray`
    ray-disturbed    a worker and then a node with its raylet killed in the middle of shards; a driver killed, and two calls at once
    faults           both engines while the store answers 500 and 503, cuts streams at random bytes, loses answers and delays

What must hold each time: the tables of one process over files, byte for byte; no committed part written again; nothing but the files of
a run in the store; the secret key nowhere. The repeated work and the requests are printed. The exit code is 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from cases import Failed, must, tried
from fault_proxy import Proxy, counted, told
from program import Words, own_environment, tables, wait_until
from ray_nodes import Node, ray_nodes, start_driver
from slurm_runs import SlurmRuns, middle, slurm, slurm_cluster
from store import BUCKET, LEASE_SECS, Store

MODEL = "scenes-4"
SHARDS = 8
PARTS_OF_SHARD = 4
# So long takes the upload of a part where a task is to be met between two of them.
UPLOAD_SECS = 1.5
# Where nobody is killed, nobody waits for a lease; a short one may end while its renewals are spoiled.
PATIENT = {"HEADSPAN_LEASE_SECONDS": "90"}


class World(SlurmRuns):
    """The store with the scenes, the program, and the tables that are expected."""

    def __init__(self, program: Path, folder: Path, scenes: int, seed: int, opened: ExitStack) -> None:
        self.store = Store(folder)
        opened.callback(self.store.close)
        port = self.store.port
        self.proxy, self.slow = Proxy(port), Proxy(port, upload_delay=UPLOAD_SECS)
        self.spoiling = Proxy(port, seed)
        self.proxies = (self.proxy, self.slow, self.spoiling)
        self.rows = max(1, scenes // (SHARDS * PARTS_OF_SHARD))
        # Names of sockets may have 107 characters, so Ray's folder is not below the other one.
        self.ray = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True)))
        environment = own_environment("RAY_", "SLURM_", "SBATCH_") | self.store.environment(self.proxy.address)
        environment |= {
            "HEADSPAN__IMAGES__PART_ROWS": str(self.rows),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "RAY_TMPDIR": str(self.ray),
        }
        super().__init__(program, folder, environment)
        self._opened, self._has_slurm = opened, False
        self._make(scenes)

    def _make(self, scenes: int) -> None:
        data = self.folder / "scenes"
        self.call("scenes", "--out", data, "--scenes", scenes, "--format", "webdataset", "--seed", 1)
        self.store.upload(data / "images", "scenes/images")
        self.arguments = {
            "images": f"s3://{BUCKET}/scenes/images",
            "classes": str(data / "classes.txt"),
            "texts": str(data / "descriptions.csv"),
            "dataset": "scenes",
            "device": "cpu",
        }
        self.pipeline = [MODEL, *(f"--{name}={value}" for name, value in self.arguments.items())]
        local = [MODEL, *(f"--{name}={value}" for name, value in self.arguments.items() if name != "images")]
        self.call("run-all", *local, "--images", data / "images", "--runs", "one")
        self.expected = tables(self.folder / "one")

    def start_slurm(self) -> None:
        """Starts Slurm if it does not run yet."""
        if not self._has_slurm:
            cluster = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="headspan-cluster-"))
            self.environment["SLURM_CONF"] = self._opened.enter_context(slurm_cluster(Path(cluster) / "slurm"))
            self._has_slurm = True

    def runs(self, name: str) -> str:
        return f"s3://{BUCKET}/runs/{name}"

    def run_keys(self, name: str, below: str) -> list[str]:
        return self.store.keys(f"runs/{name}/scenes/{MODEL}/{below}")

    def parts(self, name: str) -> set[int]:
        """Numbers of the committed parts."""
        return {part_of(key) for key in self.run_keys(name, "activations/part-")}

    def written(self, name: str) -> Counter[int]:
        """How often each part was put."""
        below = f"/runs/{name}/scenes/{MODEL}/activations/part-"
        puts = [path for proxy in self.proxies for method, path, _ in proxy.requests if method == "PUT"]
        return Counter(part_of(path) for path in puts if below in path)

    def must_equal(self, name: str) -> str:
        """The tables of one process, byte for byte, and nothing else. Says how many, and what was written more than once."""
        count = self.store.must_hold(f"runs/{name}/", self.expected)
        self.store.must_be_whole(f"runs/{name}/")
        parts, puts = len(self.parts(name)), sum(self.written(name).values())
        return f"{count} tables are those of files; {puts} puts of {parts} parts"

    def must_keep(self, name: str, committed: set[int]) -> None:
        """No part that was committed was written again."""
        written = self.written(name)
        again = sorted(part for part in committed if written[part] > 1)
        must(not again, f"committed parts written again: {again}")

    def must_keep_secret(self) -> None:
        """The secret key is nowhere but in the environment."""
        files = [path for folder in (self.folder, self.ray) for path in folder.rglob("*")]
        self.store.must_keep_secret(self.said, files, self.proxies)


def part_of(key: str) -> int:
    found = re.search(r"/part-(\d+)", key)
    must(found is not None, f"`{key}` is no part")
    return int(found[1]) if found else -1


def through_slurm(world: World) -> str:
    """Eight shards and the job that joins them."""
    world.start_slurm()
    runs, flags = world.runs("slurm"), slurm_flags(world, "slurm")
    with counted(world.proxy) as requests:
        made = world.submit(runs, *flags)
        must(made["submitted"] == list(range(SHARDS)), f"submitted {made['submitted']}")
        world.wait_for_rest(runs)
    same = world.must_equal("slurm")
    with counted(world.proxy) as again:
        second = world.submit(runs, *flags)
    must(second["nothing"] == "every stage is done", f"again: {second['nothing']}")
    return f"{same}; {told(requests)} (those of `status` too); the same command again submits nothing: {told(again)}"


def slurm_flags(world: World, name: str) -> Words:
    return ["--tasks", SHARDS, "--logs", world.folder / f"logs-{name}"]


def slurm_disturbed(world: World) -> str:
    """Two submissions at once, a task cancelled, and the same command again."""
    world.start_slurm()
    name = "slurm-disturbed"
    runs, flags = world.runs(name), slurm_flags(world, name)
    world.submit_twice_at_once(runs, *flags, variables=through(world.slow))
    victim = middle(world.wait(runs, "a task in the middle", lambda jobs: bool(middle(jobs))))[0]
    slurm("scancel", victim["task"])
    index, over = victim["shard"], ("done", "failed")
    jobs = world.wait(runs, "its end", lambda jobs: jobs["shards"][index]["state"] in over)
    must(jobs["shards"][index]["state"] == "failed", "the task was done before it was cancelled")
    kept = jobs["shards"][index]
    committed = world.parts(name)
    locked = any(f"shard-{index}-of-{SHARDS}" in key for key in world.run_keys(name, ".locks/"))
    # A task that begins earlier is refused.
    time.sleep(LEASE_SECS + 1 if locked else 0)
    again = world.submit(runs, *flags)
    must(again["submitted"] == [index], f"submitted {again['submitted']}, expected {index}")
    world.wait_for_rest(runs)
    same = world.must_equal(name)
    world.must_keep(name, committed)
    lost = f"1 task cancelled, {kept['parts_done']} of its {kept['parts']} parts kept"
    lease = "its lock had to end first" if locked else "its lock was free"
    repeated = f"repeated at most one part ({world.rows} images)"
    return f"{same}; of two submissions one; {lost}, {repeated}, {lease}"


def through_ray(world: World) -> str:
    """Eight shards through the command."""
    with counted(world.proxy) as requests:
        submit_ray(world, "ray")
    same = world.must_equal("ray")
    before = len(world.proxy.requests)
    with counted(world.proxy) as again:
        submit_ray(world, "ray")
    puts = [path for method, path, _ in world.proxy.requests[before:] if method == "PUT"]
    must(all("/.locks/" in path for path in puts), f"the same command again writes: {puts}")
    return f"{same}; {told(requests)}; the same command again: {told(again)}"


def submit_ray(world: World, name: str) -> str:
    """What the command printed."""
    place: Words = ["--runs", world.runs(name), "--tasks", SHARDS]
    ray: Words = ["--python", sys.executable, "--address", "local"]
    return world.call("submit", "ray", *world.pipeline, *place, *ray)


def through(proxy: Proxy) -> dict[str, str]:
    """Variables that lead to the store through a proxy."""
    return {"AWS_ENDPOINT_URL": proxy.address}


def ray_disturbed(world: World) -> str:
    """A worker, a node and a driver killed, and two calls at once."""
    environment = world.environment | through(world.slow)
    with ray_nodes(world.ray, environment, 2) as nodes:
        first = worker_and_node_killed(world, *nodes)
        second = driver_killed(world, nodes[0])
    return f"{first}\n  driver: {second}"


def worker_and_node_killed(world: World, head: Node, other: Node) -> str:
    name = "ray-killed"
    driver = start_ray(world, name, head.address)
    shard, worker = meet(world, name, head, driver)
    worker.kill()
    committed = world.parts(name)
    lost = meet(world, name, other, driver)[0]
    running = len(other.workers(MODEL, SHARDS))
    other.kill()
    committed |= world.parts(name)
    must(driver.poll() is None, "the driver was done before its node was killed")
    world.end(driver)
    same = world.must_equal(name)
    world.must_keep(name, committed)
    repeated = f"at most {1 + running} parts in work repeated ({(1 + running) * world.rows} images)"
    return f"{same}; a worker (shard {shard}) and a node ({running} tasks, of which shard {lost}) killed; {repeated}"


def driver_killed(world: World, head: Node) -> str:
    name = "ray-driver"
    driver = start_ray(world, name, head.address)
    meet(world, name, head, driver)
    running = len(head.workers(MODEL, SHARDS))
    driver.kill()
    world.ended(driver)
    wait_until(lambda: not head.workers(MODEL, SHARDS), "the end of a killed driver's tasks")
    committed = world.parts(name)
    both = [start_ray(world, name, head.address) for _ in range(2)]
    ended = [world.ended(one) for one in both]
    codes = sorted(code for _, _, code in ended)
    refused = [stderr for _, stderr, code in ended if code]
    must(codes in ([0, 0], [0, 1]), f"two calls at once ended with {codes}: {refused}")
    must(all("another headspan" in stderr for stderr in refused), f"the second call failed: {refused}")
    same = world.must_equal(name)
    world.must_keep(name, committed)
    second = "refused" if refused else "done too"
    lost = f"at most {running} parts in work repeated ({running * world.rows} images)"
    return f"{same}; killed when {len(committed)} of {len(world.parts(name))} parts were committed; {lost}; of two calls at once one done, the other {second}"


def start_ray(
    world: World, name: str, address: str, variables: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """A driver that submits all shards. What its tasks see is the environment of their node, which may be the driver's."""
    call: dict[str, Any] = {"models": MODEL, "tasks": SHARDS, "address": address, "runs": world.runs(name)}
    return start_driver(world, call | world.arguments, variables or {})


def meet(world: World, name: str, node: Node, driver: subprocess.Popen[str]) -> tuple[int, psutil.Process]:
    """A worker of a node in the middle of its shard: a part is committed, and two or more are not."""
    found: list[tuple[int, psutil.Process]] = []

    def look() -> bool:
        if driver.poll() is not None:
            raise Failed(f"the driver ended before a worker was met in the middle: {world.ended(driver)}")
        done = Counter(part % SHARDS for part in world.parts(name))
        workers = node.workers(MODEL, SHARDS)
        found.extend(
            (shard, worker) for shard, worker in workers.items() if 0 < done[shard] < PARTS_OF_SHARD - 1
        )
        return bool(found)

    wait_until(look, "a worker in the middle of its shard")
    return found[0]


def faults(world: World) -> str:
    """Both engines on a store that fails."""
    world.start_slurm()
    spoiling, said = world.spoiling, []
    spoiling.reset()
    runs = world.runs("faults-slurm")
    world.submit(runs, *slurm_flags(world, "faults"), variables=through(spoiling) | PATIENT)
    world.wait_for_rest(runs)
    said.append(f"Slurm: {world.must_equal('faults-slurm')}, {spoiling.told_spoiled()}")
    spoiling.reset()
    world.end(start_ray(world, "faults-ray", "local", through(spoiling) | PATIENT))
    said.append(f"Ray: {world.must_equal('faults-ray')}, {spoiling.told_spoiled()}")
    return "; ".join(said)


CASES: dict[str, Callable[[World], str]] = {
    "slurm": through_slurm,
    "slurm-disturbed": slurm_disturbed,
    "ray": through_ray,
    "ray-disturbed": ray_disturbed,
    "faults": faults,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", type=Path, help="the program headspan")
    parser.add_argument("--scenes", type=int, default=20_000, help="number of scenes (default: 20000)")
    parser.add_argument("--only", default=",".join(CASES), help="cases, such as slurm,ray")
    parser.add_argument("--seed", type=int, default=1, help="seed of what is spoiled (default: 1)")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the store and of logs")
    arguments = parser.parse_args()

    @contextmanager
    def world(folder: Path) -> Iterator[World]:
        with ExitStack() as opened:
            yield World(arguments.program.resolve(), folder, arguments.scenes, arguments.seed, opened)

    return tried(
        "headspan-engines-", world, CASES, arguments.only, arguments.keep, World.must_keep_secret
    )


if __name__ == "__main__":
    sys.exit(main())

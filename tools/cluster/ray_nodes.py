"""Nodes of a Ray cluster on this machine, each of which can be killed, and programs that submit to it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from cases import Failed, must
from program import Program, wait_until

# A program that submits, as a process of its own, which can be killed.
DRIVER = "import headspan, json, sys; headspan.submit(progress=False, **json.loads(sys.argv[1]))"
# Small: the tasks hand nothing over.
STORE_BYTES = 100_000_000
TRIES = 3


class Node:
    """One node: a raylet and its workers below one process."""

    def __init__(self, folder: Path, environment: Mapping[str, str], cpus: int, address: str | None) -> None:
        number = len(list(folder.glob("start-*.txt")))
        log = folder / f"start-{number}.txt"
        words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--num-cpus={cpus}"]
        words += [f"--object-store-memory={STORE_BYTES}"]
        if address is None:
            words += ["--head", "--port=0", "--include-dashboard=false", f"--temp-dir={folder}"]
        else:
            words += [f"--address={address}"]
        with log.open("wb") as out:
            self.started = subprocess.Popen(
                words, stdout=out, stderr=out, env=dict(environment), start_new_session=True
            )
        self.process = psutil.Process(self.started.pid)
        # The address stands a few lines above this.
        wait_until(
            lambda: "To terminate the Ray runtime" in log.read_text() or self.started.poll() is not None,
            "a node of Ray",
        )
        must(self.started.poll() is None, log.read_text())
        self.address = address or log.read_text().split("--address='")[1].split("'")[0]

    def workers(self, model: str, count: int) -> dict[int, psutil.Process]:
        """Processes that run shards, by the shard."""
        found = {}
        for process in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                title = " ".join(process.cmdline()).strip()
                start, end = f"ray::headspan {model} shard ", f"/{count}"
                if title.startswith(start) and title.endswith(end):
                    found[int(title.removeprefix(start).removesuffix(end))] = process
        return found

    def kill(self) -> None:
        """Kills the raylet and all that it has started, at once."""
        if self.started.poll() is not None:
            return
        everything = [self.process, *self.process.children(recursive=True)]
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.started.wait()
        psutil.wait_procs(everything, timeout=10)


def started(folder: Path, environment: Mapping[str, str], address: str | None) -> Node:
    """A node. Ray gives up on one that needs more than 30 seconds, which happens on a machine under load."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(Failed):
            return Node(folder, environment, 2, address)
    return Node(folder, environment, 2, address)


@contextlib.contextmanager
def ray_nodes(folder: Path, environment: Mapping[str, str], count: int) -> Iterator[list[Node]]:
    """A head and further nodes with two processors each, while the context lasts."""
    nodes: list[Node] = []
    try:
        for _ in range(count):
            nodes.append(started(folder, environment, nodes[0].address if nodes else None))
        yield nodes
    finally:
        for node in reversed(nodes):
            node.kill()


def start_driver(
    program: Program, call: Mapping[str, Any], variables: Mapping[str, str]
) -> subprocess.Popen[str]:
    """A program that calls `headspan.submit`."""
    words = ("-c", DRIVER, json.dumps(call))
    return program.start(*words, variables=variables, program=Path(sys.executable))

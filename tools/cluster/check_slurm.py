"""Runs shards through a real Slurm on this machine, disturbs them, and compares the tables with those of one machine.

    python3 tools/cluster/check_slurm.py BIN [--scenes N] [--only whole,disturbed,limit] [--keep]

It starts munge, slurmctld and slurmd with `slurm.sh` (as root; `slurm.sh install` first) and stops them again. The demo's model looks
at rendered scenes in tar shards.

    whole      eight shards and the job that joins them
    disturbed  two submissions at once; a task cancelled in the middle; a node drained and resumed; the same command again
    limit      a task that reaches its time limit

What must hold each time: the tables of one machine, byte for byte; no part written again that was committed; the same command
submits the shards that are missing and no others. The repeated work is printed. The exit code is 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cases import must, tried
from program import Words, tables
from slurm_runs import SlurmRuns, middle, slurm, slurm_cluster, states

MODEL = "scenes-4"
SHARDS = 8
# A machine that becomes slow when a part is committed: the process stands still for most of the time, so that a task can be met in
# the middle.
SLOW = """parts() {{ ls '{folder}' | wc -l; }}
before=$(parts)
(
    while [ "$(parts)" = "$before" ] && kill -0 $$; do sleep 0.05; done
    while kill -STOP $$; do sleep {still}; kill -CONT $$; sleep {going}; done
) > /dev/null 2>&1 &
"""


class World(SlurmRuns):
    """The scenes, the program, and the folders of runs."""

    def __init__(self, program: Path, folder: Path, scenes: int, part_rows: int) -> None:
        super().__init__(program, folder, {**os.environ, "HEADSPAN__IMAGES__PART_ROWS": str(part_rows)})
        self.part_rows = part_rows
        self.call(
            "scenes", "--out", folder / "scenes", "--scenes", scenes, "--format", "webdataset", "--seed", 1
        )
        self.pipeline = [
            *(MODEL, "--images", folder / "scenes/images", "--classes", folder / "scenes/classes.txt"),
            *("--texts", folder / "scenes/descriptions.csv", "--dataset", "scenes", "--device", "cpu"),
        ]

    def run_folder(self, runs: str) -> Path:
        return self.folder / runs / "scenes" / MODEL

    def parts(self, runs: str) -> dict[str, int]:
        """Committed parts, and when each was written in nanoseconds."""
        return {
            path.name: path.stat().st_mtime_ns
            for path in self.run_folder(runs).glob("activations/part-*.parquet")
        }

    def must_equal(self, runs: str) -> None:
        """The tables of one machine, byte for byte."""
        own, expected = tables(self.run_folder(runs)), tables(self.run_folder("one"))
        must(own.keys() == expected.keys(), f"other tables: {sorted(own.keys() ^ expected.keys())}")
        different = [name for name in expected if own[name] != expected[name]]
        must(not different, f"tables differ: {different}")

    def must_keep(self, runs: str, committed: dict[str, int]) -> None:
        """No part that was committed was written again."""
        now = self.parts(runs)
        again = [name for name, when in committed.items() if now.get(name) != when]
        must(not again, f"parts written again: {again}")

    def slow(self, runs: str, still: float, going: float) -> Path:
        """A setup file that makes the tasks of a run slow: seconds that they stand still and go, in turn."""
        path = self.folder / f"slow-{runs}.sh"
        path.write_text(SLOW.format(folder=self.run_folder(runs) / "activations", still=still, going=going))
        return path


def whole(world: World) -> str:
    """Eight shards and the job that joins them."""
    told = world.submit("whole", "--tasks", SHARDS)
    must(told["submitted"] == list(range(SHARDS)), f"submitted {told['submitted']}")
    world.wait_for_rest("whole")
    world.must_equal("whole")
    again = world.submit("whole", "--tasks", SHARDS)
    must(again["nothing"] == "every stage is done", f"again: {again['nothing']}")
    return "the tables of one machine; nothing repeated"


def disturbed(world: World) -> str:
    """Two submissions at once, a task cancelled, a node drained, and the same command again."""
    flags: Words = ["--tasks", SHARDS, "--setup", world.slow("disturbed", 0.9, 0.1)]
    world.submit_twice_at_once("disturbed", *flags)
    made = json.loads((world.run_folder("disturbed") / "jobs.json").read_text())["submissions"]
    must(len(made) == 1, f"two submissions at once are {len(made)} in the record")
    # A node is drained: what runs goes on, what waits waits.
    node = socket.gethostname().split(".")[0]
    world.wait("disturbed", "a running task", lambda jobs: "running" in states(jobs))
    slurm("scontrol", "update", f"nodename={node}", "state=drain", "reason=check")
    waiting = [shard for shard, state in enumerate(states(world.jobs("disturbed"))) if state == "queued"]
    must(len(waiting) > 0, "no task waited when the node was drained")
    victim = middle(world.wait("disturbed", "a task in the middle", lambda jobs: bool(middle(jobs))))[0]
    slurm("scancel", victim["task"])
    jobs = world.wait("disturbed", "the end of what ran", lambda jobs: "running" not in states(jobs))
    cancelled = jobs["shards"][victim["shard"]]
    must(cancelled["state"] == "failed", f"the cancelled shard is {cancelled['state']}")
    must(bool(cancelled["last_line"]), "the log of the cancelled task has no last line")
    must(all(states(jobs)[shard] == "queued" for shard in waiting), "a task started on a drained node")
    committed = world.parts("disturbed")
    # The same command again, while the others still wait: the shard that failed, and no other.
    told = world.submit("disturbed", *flags)
    must(told["submitted"] == [victim["shard"]], f"submitted {told['submitted']}, expected {victim['shard']}")
    must(told["live"] == waiting, f"live {told['live']}, expected {waiting}")
    slurm("scontrol", "update", f"nodename={node}", "state=resume")
    world.wait_for_rest("disturbed")
    world.must_equal("disturbed")
    world.must_keep("disturbed", committed)
    kept = f"{cancelled['parts_done']} of its {cancelled['parts']} parts kept"
    repeated = f"repeated less than one part ({world.part_rows} images)"
    return f"the tables of one machine; 1 task cancelled, {kept}; {repeated}"


def limit(world: World) -> str:
    """A task that reaches its time limit ends before it, and another continues it."""
    flags: Words = ["--tasks", 1, "--setup", world.slow("limit", 0.98, 0.02)]
    world.submit("limit", *flags, "--time", 1, "--notice", 10)
    over = ("done", "failed")
    jobs = world.wait("limit", "the time limit", lambda jobs: jobs["shards"][0]["state"] in over)
    shard = jobs["shards"][0]
    must(shard["state"] == "failed", "the task was done before its limit; more --scenes make it longer")
    details = slurm("scontrol", "show", "job", shard["task"])
    code = re.search(r"ExitCode=(\d+):(\d+)", details)
    must(code is not None and code.groups() == ("75", "0"), f"the task did not end by itself: {details}")
    log = (world.run_folder("limit") / "jobs/extract-1.0.log").read_text()
    must("stopped; what is committed stays" in log, f"the log does not say so:\n{log}")
    committed = world.parts("limit")
    must(len(committed) == shard["parts_done"] < shard["parts"], f"{len(committed)} parts")
    told = world.submit("limit", "--tasks", 1)
    must(told["submitted"] == [0], f"submitted {told['submitted']}")
    world.wait_for_rest("limit")
    world.must_equal("limit")
    world.must_keep("limit", committed)
    kept = f"{len(committed)} of {shard['parts']} parts kept"
    repeated = f"repeated less than one part ({world.part_rows} images)"
    return f"the tables of one machine; 1 task ended by itself with exit code 75, {kept}; {repeated}"


CASES: dict[str, Callable[[World], str]] = {"whole": whole, "disturbed": disturbed, "limit": limit}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", type=Path, help="the program headspan")
    parser.add_argument("--scenes", type=int, default=20_000, help="number of scenes (default: 20000)")
    parser.add_argument("--only", default=",".join(CASES), help="cases, such as whole,limit")
    parser.add_argument("--keep", action="store_true", help="keep the folder of runs")
    arguments = parser.parse_args()

    @contextmanager
    def world(folder: Path) -> Iterator[World]:
        with slurm_cluster(folder / "cluster"):
            # At least three parts a shard, so that a task can be met between two of them.
            rows = max(1, arguments.scenes // (SHARDS * 4))
            made = World(arguments.program.resolve(), folder, arguments.scenes, rows)
            made.call("run-all", *made.pipeline, "--runs", "one")
            yield made

    return tried("headspan-slurm-", world, CASES, arguments.only, arguments.keep)


if __name__ == "__main__":
    sys.exit(main())

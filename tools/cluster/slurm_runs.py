"""Runs through a Slurm that `slurm.sh` starts on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cases import must
from program import SECONDS, Program, Words

SCRIPT = Path(__file__).resolve().parent / "slurm.sh"


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[str]:
    """The cluster while the context lasts. Gives the path of its configuration, which is in this program's environment too."""
    try:
        words = [str(SCRIPT), "start", str(folder)]
        told = subprocess.run(words, capture_output=True, text=True, check=False)
        must(told.returncode == 0, told.stderr)
        os.environ["SLURM_CONF"] = told.stdout.strip().rsplit("=", 1)[-1]
        yield os.environ["SLURM_CONF"]
    finally:
        subprocess.run([str(SCRIPT), "stop", str(folder)], check=False)


def slurm(*words: str) -> str:
    """Stdout of a program of Slurm."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    must(done.returncode == 0, f"{' '.join(words)}: {done.stderr}")
    return done.stdout


class SlurmRuns(Program):
    """The program, and what it says of runs of one pipeline. ``runs`` is a folder or an address each time."""

    pipeline: Words

    def submission(self, runs: str, *flags: str | Path | int) -> Words:
        return ["submit", "slurm", *self.pipeline, "--runs", runs, "--json", *flags]

    def submit(
        self, runs: str, *flags: str | Path | int, variables: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """What one submission did."""
        said = self.call(*self.submission(runs, *flags), variables=variables)
        told: dict[str, Any] = json.loads(said)["runs"][0]
        return told

    def submit_twice_at_once(
        self, runs: str, *flags: str | Path | int, variables: Mapping[str, str] | None = None
    ) -> None:
        """Of two submissions at once one submits; the other is refused, or finds all that is missing in the queue."""
        before = arrays()
        both = [self.start(*self.submission(runs, *flags), variables=variables) for _ in range(2)]
        said = [self.ended(one) for one in both]
        codes = sorted(code for _, _, code in said)
        must(codes in ([0, 0], [0, 1]), f"exit codes {codes}: {said}")
        made = arrays() - before
        must(len(made) == 1, f"two submissions at once gave {len(made)} arrays")

    def jobs(self, runs: str) -> dict[str, Any]:
        """What `status` says of the jobs."""
        status = json.loads(self.call("status", "--runs", runs, "--json"))
        jobs: dict[str, Any] = status["runs"][0]["jobs"]
        return jobs

    def wait(self, runs: str, what: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The jobs when they are as they should be."""
        end = time.monotonic() + SECONDS
        while True:
            jobs = self.jobs(runs)
            if until(jobs):
                return jobs
            must(time.monotonic() < end, f"waited for {what}: {json.dumps(jobs)}")
            time.sleep(0.3)

    def wait_for_rest(self, runs: str) -> None:
        """Until the job that joins the shards is done."""
        jobs = self.wait(runs, "the last job", lambda jobs: jobs["rest"]["state"] in ("done", "failed"))
        failed = [shard for shard in jobs["shards"] if shard["state"] == "failed"]
        must(jobs["rest"]["state"] == "done", f"the last job failed: {json.dumps([jobs['rest'], *failed])}")


def arrays() -> set[str]:
    """Job arrays of shards that Slurm knows."""
    lines = slurm("squeue", "--noheader", "--states=all", "--format=%F %o").splitlines()
    return {line.split()[0] for line in lines if "/extract-" in line}


def states(jobs: dict[str, Any]) -> list[str]:
    return [shard["state"] for shard in jobs["shards"]]


def middle(jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """Shards that run and have committed a part, and not all. The one with the fewest is first: it is the last to be done."""
    running = [shard for shard in jobs["shards"] if shard["state"] == "running"]
    found = [shard for shard in running if 0 < shard["parts_done"] < shard["parts"]]
    return sorted(found, key=lambda shard: int(shard["parts_done"]))

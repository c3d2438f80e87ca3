"""Measures the control path of a run with very many shards: merge, `status`, `plan`, and the choice of shards to submit again.

    python3 tools/scale/simulate.py BIN [--parts 1000,10000] [--copies] [--store moto|small] [--folder DIR] [--json FILE] [--keep]

The shards have next to no work: a part is one image of one pixel, and a shard is one part. Everything else is real. The program makes
all parts itself, so fingerprints, row counts and files are those of any run. Nine tenths of the parts are made first, so that a tenth of
the shards is missing, evenly spread. Slurm is replaced by programs that answer at once: its own time is no part of this.

    one shard      `extract --shard I/N` of a missing shard, while a tenth is missing: what each of N tasks costs beside its images
    submit         `submit slurm --tasks N --dry-run`: finds the missing shards and prints the scripts
    submit, noted  the same without `--dry-run`, to a stand-in for `sbatch`: writes the record of N shards
    status         without a record of shards
    status, shards with the record of N shards, a tenth of them failed
    plan           what `run-all` would do
    merge          `extract --merge` once all parts are there
    status, merged when the stage is done, with the record of shards
    plan, merged

Each is one process: wall time, processor time, and peak resident memory of that process. The last column is the exponent of the growth
from the size before: 1 is linear, 2 is quadratic.

With `--copies` the program makes one part, and the others are copies of it: no command here compares the images of parts.

With `--store` the run lies in a store: an S3 server on this machine, moto's (it needs `moto[server]`) or the small one beside this file,
which answers after `--latency` seconds. Requests are counted for each command. What commands read is kept on disk: `submit` finds nothing
there, and those after it find the footers of the parts. The merge and what follows begin with nothing once more.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import in_store
from world import DATASET, Measured, World, write_images, write_pool, write_stands_in

# One shard of so many is missing while the run is unfinished.
TENTH = 10
# Growth above this exponent is told as more than linear. Small sizes are below it because starting the program takes time too.
LINEAR = 1.2


def measures(world: World) -> Iterator[Measured]:
    """Everything that is measured at one size, in order."""
    extract, count = ["extract", *world.pipeline], world.parts
    status = ["status", "--runs", world.runs, "--dataset", DATASET, "--json"]
    submit = ["submit", "slurm", *world.pipeline, *world.submission, "--json"]
    for shard in range(TENTH - 1):
        world.make(shard, TENTH)
    missing = count - world.parts_there()
    if missing != count // TENTH:
        sys.exit(f"{missing} parts are missing, expected {count // TENTH}")
    yield world.call("one shard", *extract, "--shard", f"{TENTH - 1}/{count}")
    yield world.call("submit", *submit, "--dry-run")
    yield world.call("status", *status)
    yield world.call("submit, noted", *submit)
    yield world.call("status, shards", *status)
    yield world.call("plan", "plan", *world.pipeline, "--json")
    put_back = world.set_aside(0)
    world.make(TENTH - 1, TENTH)
    put_back()
    world.forget_images()
    world.on_another_machine()
    yield world.call("merge", *extract, "--merge")
    yield world.call("status, merged", *status)
    yield world.call("plan, merged", "plan", *world.pipeline, "--json")


def exponent(before: Measured, after: Measured) -> float:
    """How processor time grows with the number of parts: 1 is linear.

    >>> small, large = Measured("a", 100, 1.0, 0.5, 10.0), Measured("a", 1000, 60.0, 50.0, 10.0)
    >>> exponent(small, large)
    2.0
    """
    return math.log(after.cpu_seconds / max(before.cpu_seconds, 1e-3)) / math.log(after.parts / before.parts)


def row(one: Measured, before: Measured | None) -> str:
    grows = f"{exponent(before, one):.2f}" if before else ""
    cells = [
        one.what,
        f"{one.parts:,}",
        f"{one.seconds:.2f}",
        f"{one.cpu_seconds:.2f}",
        f"{one.peak_mib:.0f}",
        grows,
    ]
    if one.requests:
        cells.append(in_store.by_method(one.requests))
    return f"| {' | '.join(cells)} |"


def table(measured: list[Measured]) -> str:
    """Rows of one command together, sizes ascending."""
    head = ["command", "parts = shards", "seconds", "CPU seconds", "peak MiB", "exponent"]
    if any(one.requests for one in measured):
        head.append("requests")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for what in dict.fromkeys(one.what for one in measured):
        own = sorted((one for one in measured if one.what == what), key=lambda one: one.parts)
        lines += [row(one, own[place - 1] if place else None) for place, one in enumerate(own)]
    return "\n".join(lines)


def more_than_linear(measured: list[Measured]) -> list[str]:
    """Commands whose processor time grows faster than the number of parts, by their largest two sizes.

    >>> more_than_linear([Measured("a", 100, 1, 1, 1), Measured("b", 100, 1, 1, 1), Measured("a", 1000, 9, 9, 1)])
    []
    >>> more_than_linear([Measured("a", 100, 1, 1, 1), Measured("a", 1000, 9, 9, 1), Measured("a", 10_000, 900, 900, 1)])
    ['a']
    """
    found = []
    for what in dict.fromkeys(one.what for one in measured):
        own = sorted((one for one in measured if one.what == what), key=lambda one: one.parts)
        if len(own) > 1 and exponent(own[-2], own[-1]) > LINEAR:
            found.append(what)
    return found


@contextmanager
def made(given: argparse.Namespace, parts: int, folder: Path) -> Iterator[World]:
    """The world at one size: on the disk, or in a store that ends with it."""
    write_images(folder / "pixels.tar", parts)
    write_pool(folder / "pool.txt")
    write_stands_in(folder / "bin")
    program = given.program.resolve()
    if given.store is None:
        yield World(program, folder, parts, copies=given.copies)
        return
    server = in_store.moto(folder) if given.store == "moto" else in_store.small(folder, given.latency)
    try:
        yield in_store.StoreWorld(program, folder, parts, given.copies, server)
    finally:
        server.close()


def simulate(given: argparse.Namespace, parts: int) -> Iterator[Measured]:
    """All measures at one size, one after another, in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="headspan-scale-", dir=given.folder))
    print(f"{parts} parts in {folder}", file=sys.stderr, flush=True)
    try:
        with made(given, parts, folder) as world:
            yield from measures(world)
    finally:
        if not given.keep:
            shutil.rmtree(folder)


def sizes(text: str) -> list[int]:
    """Sizes, each a multiple of ten.

    >>> sizes("1000,100")
    [100, 1000]
    """
    found = sorted(int(size) for size in text.split(","))
    if any(size < TENTH or size % TENTH for size in found):
        raise argparse.ArgumentTypeError(f"each size must be a multiple of {TENTH}")
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    arguments.add_argument("program", type=Path, help="the program headspan")
    arguments.add_argument(
        "--parts", type=sizes, default=sizes("1000,10000"), help="sizes; default: 1000,10000"
    )
    arguments.add_argument(
        "--folder", type=Path, help="where the runs are made; 100,000 parts take about 2 GB"
    )
    arguments.add_argument(
        "--store", choices=["moto", "small"], help="the server that the run lies in; else a disk"
    )
    arguments.add_argument(
        "--latency", type=float, default=0.0, help="seconds before the small server answers"
    )
    arguments.add_argument(
        "--copies", action="store_true", help="make one part, and copies of it for the others"
    )
    arguments.add_argument("--json", type=Path, help="file for the measures, written after each")
    arguments.add_argument("--keep", action="store_true", help="keep the runs")
    given = arguments.parse_args()
    measured: list[Measured] = []
    for parts in given.parts:
        for one in simulate(given, parts):
            measured.append(one)
            print(f"  {row(one, None)}", file=sys.stderr, flush=True)
            # What was measured is kept, whatever ends the rest.
            if given.json:
                given.json.write_text(json.dumps([asdict(one) for one in measured], indent=1))
    print(table(measured))
    if faster := more_than_linear(measured):
        print(f"\nmore than linear: {', '.join(faster)}")


if __name__ == "__main__":
    main()

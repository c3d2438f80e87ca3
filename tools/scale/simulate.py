"""Measures the control path of a run with very many shards: merge, `status`, `plan`, and the choice of shards to submit again.

    python3 tools/scale/simulate.py BIN [--parts 1000,10000] [--folder DIR] [--json FILE] [--keep]

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
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

MODEL = "scenes-4"
DATASET = "pixels"
# One shard of so many is missing while the run is unfinished.
TENTH = 10
# Growth above this exponent is told as more than linear. Small sizes are below it because starting the program takes time too.
LINEAR = 1.2
STANDS_IN = {"sbatch": "echo 4711", "squeue": "", "sacct": "", "scancel": ""}


@dataclass
class Measured:
    """One process."""

    what: str
    parts: int
    seconds: float
    cpu_seconds: float
    peak_mib: float


@dataclass
class World:
    """The program, the images, and where things are."""

    program: Path
    folder: Path
    parts: int
    model: str = MODEL
    part_rows: int = 1

    @property
    def run_folder(self) -> Path:
        return self.folder / "runs" / DATASET / self.model

    @property
    def pipeline(self) -> list[str]:
        """The flags of all commands that look at images."""
        images, runs = str(self.folder / "pixels.tar"), str(self.folder / "runs")
        texts = str(self.folder / "pool.txt")
        return [
            *(self.model, "--images", images, "--dataset", DATASET, "--runs", runs),
            *("--texts", texts, "--device", "cpu"),
        ]

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "HEADSPAN__IMAGES__PART_ROWS": str(self.part_rows), "PATH": path}

    def call(self, what: str, *words: str) -> Measured:
        """Runs the program and measures the process. It must succeed."""
        print(f"  {what} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryFile() as log:
            started = time.monotonic()
            process = subprocess.Popen(
                [str(self.program), *words], stdout=subprocess.DEVNULL, stderr=log, env=self.environment
            )
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                log.seek(0)
                sys.exit(
                    f"{what} ended with {process.returncode}:\n{log.read().decode(errors='replace')[-4000:]}"
                )
        return Measured(what, self.parts, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def files_of_part(self, part: int) -> list[Path]:
        folder = self.run_folder
        return [
            folder / "activations" / f"part-{part:05}.parquet",
            folder / "parts" / f"images-{part:05}.parquet",
        ]

    def parts_there(self) -> int:
        return sum(entry.name.startswith("part-") for entry in os.scandir(self.run_folder / "activations"))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pixel(colour: bytes) -> bytes:
    """A PNG of one pixel.

    >>> pixel(b"abc")[12:16], len(pixel(b"abc"))
    (b'IHDR', 69)
    """
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    row = zlib.compress(b"\0" + colour)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


def write_images(path: Path, count: int) -> None:
    """A tar of images of one pixel, the same for the same count."""
    colours = random.Random(0)
    with tarfile.open(path, "w") as shard:
        for number in range(count):
            image = pixel(colours.randbytes(3))
            member = tarfile.TarInfo(f"{number:09}.png")
            member.size = len(image)
            shard.addfile(member, io.BytesIO(image))


def write_pool(path: Path) -> None:
    """Two descriptions, so that texts take no time beside the parts."""
    path.write_text("a red cat\na blue dog\n")


def write_stands_in(folder: Path) -> None:
    """Programs with the names of Slurm's."""
    folder.mkdir()
    for name, body in STANDS_IN.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)


def set_aside(world: World, part: int) -> list[tuple[Path, Path]]:
    """Moves the files of one part away, so that the last shards do not join all of them. Pairs of where they are and belong."""
    pairs = [(world.folder / path.name, path) for path in world.files_of_part(part)]
    for kept, path in pairs:
        path.rename(kept)
    return pairs


def forget_images(world: World) -> None:
    """Removes what a merge wrote of the images, and keeps the parts."""
    tables = [world.run_folder / f"{name}.parquet" for name in ("images", "readout", "moments")]
    for path in [world.run_folder / "stages" / "images.json", *tables]:
        path.unlink(missing_ok=True)


def measures(world: World) -> Iterator[Measured]:
    """Everything that is measured at one size, in order."""
    extract, count = ["extract", *world.pipeline], world.parts
    status = ["status", "--runs", str(world.folder / "runs"), "--dataset", DATASET, "--json"]
    submit = ["submit", "slurm", *world.pipeline, "--tasks", str(count), "--json"]
    for shard in range(TENTH - 1):
        world.call(f"make parts {shard + 1} of {TENTH}", *extract, "--shard", f"{shard}/{TENTH}")
    missing = count - world.parts_there()
    if missing != count // TENTH:
        sys.exit(f"{missing} parts are missing, expected {count // TENTH}")
    yield world.call("one shard", *extract, "--shard", f"{TENTH - 1}/{count}")
    yield world.call("submit", *submit, "--dry-run")
    yield world.call("status", *status)
    yield world.call("submit, noted", *submit)
    yield world.call("status, shards", *status)
    yield world.call("plan", "plan", *world.pipeline, "--json")
    aside = set_aside(world, 0)
    world.call(f"make parts {TENTH} of {TENTH}", *extract, "--shard", f"{TENTH - 1}/{TENTH}")
    for kept, path in aside:
        kept.rename(path)
    forget_images(world)
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
    return f"| {one.what} | {one.parts:,} | {one.seconds:.2f} | {one.cpu_seconds:.2f} | {one.peak_mib:.0f} | {grows} |"


def table(measured: list[Measured]) -> str:
    """Rows of one command together, sizes ascending."""
    lines = [
        "| command | parts = shards | seconds | CPU seconds | peak MiB | exponent |",
        "|---|---|---|---|---|---|",
    ]
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


def simulate(program: Path, parts: int, place: Path | None, keep: bool) -> Iterator[Measured]:
    """All measures at one size, one after another, in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="headspan-scale-", dir=place))
    print(f"{parts} parts in {folder}", file=sys.stderr, flush=True)
    try:
        world = World(program, folder, parts)
        write_images(folder / "pixels.tar", parts)
        write_pool(folder / "pool.txt")
        write_stands_in(folder / "bin")
        yield from measures(world)
    finally:
        if not keep:
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
    arguments.add_argument("--json", type=Path, help="file for the measures, written after each")
    arguments.add_argument("--keep", action="store_true", help="keep the runs")
    given = arguments.parse_args()
    measured: list[Measured] = []
    for parts in given.parts:
        for one in simulate(given.program.resolve(), parts, given.folder, given.keep):
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

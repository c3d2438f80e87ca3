"""A run whose parts are images of one pixel, and the program as the measures call it: on a disk. A run in a store is in in_store.py."""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import process

MODEL = "scenes-4"
DATASET = "pixels"
# Another than the first, which is taken away for a while.
COPIED = 1
STANDS_IN = {"sbatch": "echo 4711", "squeue": "", "sacct": "", "scancel": ""}


@dataclass
class Measured:
    """One process."""

    what: str
    parts: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    # What it asked a store, by method and folder of the run.
    requests: dict[str, int] = field(default_factory=dict)


@dataclass
class World:
    """The program, the images, and where things are."""

    program: Path
    folder: Path
    parts: int
    model: str = MODEL
    part_rows: int = 1
    # Whether one part is made and the others are copies of it.
    copies: bool = False

    @property
    def run_folder(self) -> Path:
        return self.folder / "runs" / DATASET / self.model

    @property
    def runs(self) -> str:
        """Where the runs are, as the program is told."""
        return str(self.folder / "runs")

    @property
    def pipeline(self) -> list[str]:
        """The flags of all commands that look at images."""
        images, texts = str(self.folder / "pixels.tar"), str(self.folder / "pool.txt")
        return [
            *(self.model, "--images", images, "--dataset", DATASET, "--runs", self.runs),
            *("--texts", texts, "--device", "cpu"),
        ]

    @property
    def submission(self) -> list[str]:
        """What `submit slurm` is told beside that."""
        return ["--tasks", str(self.parts)]

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "HEADSPAN__IMAGES__PART_ROWS": str(self.part_rows), "PATH": path}

    def call(self, what: str, *words: str) -> Measured:
        """Runs the program and measures the process. It must succeed."""
        print(f"  {what} …", file=sys.stderr, flush=True)
        used = process.run(what, [str(self.program), *words], self.environment)
        return Measured(what, self.parts, used.seconds, used.cpu_seconds, used.peak_mib)

    def make(self, shard: int, count: int) -> None:
        """Makes the parts of one shard of so many."""
        if not self.copies:
            self.extract(f"make parts {shard + 1} of {count}", shard, count)
            return
        if shard == 0:
            self.extract("make the part that is copied", COPIED, self.parts)
        self.copy([part for part in range(shard, self.parts, count) if part != COPIED])

    def extract(self, what: str, shard: int, count: int) -> None:
        self.call(what, "extract", *self.pipeline, "--shard", f"{shard}/{count}")

    def copy(self, parts: list[int]) -> None:
        """Makes parts that are copies of the one that the program made."""
        contents = [(self.run_folder / name).read_bytes() for name in files_of_part(COPIED)]
        for part in parts:
            for name, content in zip(files_of_part(part), contents, strict=True):
                (self.run_folder / name).write_bytes(content)

    def on_another_machine(self) -> None:
        """From here on, nothing is known of what earlier commands read."""

    def parts_there(self) -> int:
        return sum(entry.name.startswith("part-") for entry in os.scandir(self.run_folder / "activations"))

    def set_aside(self, part: int) -> Callable[[], None]:
        """Takes the files of one part away, so that the last shards do not join all of them. Gives what puts them back."""
        pairs = [(self.folder / Path(name).name, self.run_folder / name) for name in files_of_part(part)]
        for kept, path in pairs:
            path.rename(kept)

        def put_back() -> None:
            for kept, path in pairs:
                kept.rename(path)

        return put_back

    def forget_images(self) -> None:
        """Removes what a merge wrote of the images, and keeps the parts."""
        for name in FILES_OF_MERGE:
            (self.run_folder / name).unlink(missing_ok=True)


# The record first: without it, tables are not taken for finished ones.
FILES_OF_MERGE = ["stages/images.json", *(f"{name}.parquet" for name in ("images", "readout", "moments"))]


def files_of_part(part: int) -> list[str]:
    """Names below the run.

    >>> files_of_part(7)
    ['activations/part-00007.parquet', 'parts/images-00007.parquet']
    """
    return [f"activations/part-{part:05}.parquet", f"parts/images-{part:05}.parquet"]


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

"""Measures a run that keeps moments alone: time, memory and bytes by the number of images.

    python3 tools/scale/moments.py BIN [--scenes 10000,100000] [--folder DIR] [--json FILE]

Scenes of the built-in world are rendered into tars, about 7.5 kB each, and `run-all scenes-4 --keep moments` goes through all stages.
Every size is a run of its own, and is removed before the next. Time should grow as the number of images does; of the run's files,
none should grow beside the record of sums that wait to be joined, and there must be no activations.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import process

MODEL = "scenes-4"
DATASET = "scenes"


@dataclass
class Measured:
    """One run."""

    scenes: int
    rendered: process.Used
    used: process.Used
    # Seconds of the stage that looks at images, as the run's record has them.
    pass_seconds: float
    image_bytes: int
    bytes_by_table: dict[str, int]

    @property
    def run_bytes(self) -> int:
        return sum(self.bytes_by_table.values())


def sizes_below(folder: Path) -> dict[str, int]:
    """Bytes below a folder: files of the top by their names, others by the folder they are in."""
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file():
            found[path.relative_to(folder).parts[0]] += path.stat().st_size
    return dict(sorted(found.items()))


def measure(program: Path, scenes: int, folder: Path) -> Measured:
    """Renders the scenes and runs all stages on them."""
    data, runs = folder / "data", folder / "runs"
    # Lists of tars are kept here, and not with those of other sizes.
    environment = {**os.environ, "HEADSPAN_CACHE": str(folder / "cache")}
    render = ["scenes", "--out", str(data), "--scenes", str(scenes), "--format", "webdataset", "--seed", "1"]
    rendered = process.run("scenes", [str(program), *render], environment)
    print(f"{scenes:,} scenes rendered in {rendered.seconds:.0f} s", file=sys.stderr, flush=True)
    words = ["run-all", MODEL, "--images", str(data / "images"), "--classes", str(data / "classes.txt")]
    words += ["--texts", str(data / "descriptions.csv"), "--dataset", DATASET, "--device", "cpu"]
    words += ["--keep", "moments", "--runs", str(runs)]
    used = process.run("run-all", [str(program), *words], environment)
    run = runs / DATASET / MODEL
    if (run / "activations").exists():
        sys.exit("activations were stored")
    record = json.loads((run / "stages" / "images.json").read_text(encoding="utf-8"))
    image_bytes = sum(sizes_below(data / "images").values())
    return Measured(scenes, rendered, used, record["seconds"], image_bytes, sizes_below(run))


def table(measured: list[Measured]) -> str:
    """A row for each size."""
    lines = [
        "| images | seconds | CPU seconds | images per CPU second | peak MiB | bytes of images | bytes of the run |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in measured:
        used = one.used
        cells = [f"{one.scenes:,}", f"{used.seconds:,.0f}", f"{used.cpu_seconds:,.0f}"]
        cells += [f"{one.scenes / used.cpu_seconds:,.0f}", f"{used.peak_mib:,.0f}"]
        cells += [f"{one.image_bytes:,}", f"{one.run_bytes:,}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_bytes(measured: list[Measured]) -> str:
    """A row for each file or folder of the run, a column for each size.

    >>> nothing = process.Used(1.0, 1.0, 1.0)
    >>> one, two = (Measured(size, nothing, nothing, 1.0, 1, {"parts": size}) for size in (1, 2000))
    >>> print(table_of_bytes([one, two]))
    | bytes | 1 | 2,000 images |
    |---|---|---|
    | `parts` | 1 | 2,000 |
    """
    head = " | ".join(f"{one.scenes:,}" for one in measured)
    lines = [f"| bytes | {head} images |", "|---" * (1 + len(measured)) + "|"]
    for name in sorted({name for one in measured for name in one.bytes_by_table}):
        cells = " | ".join(f"{one.bytes_by_table.get(name, 0):,}" for one in measured)
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    arguments.add_argument("program", type=Path, help="the program headspan")
    arguments.add_argument("--scenes", default="10000,100000", help="sizes; default: 10000,100000")
    arguments.add_argument("--folder", type=Path, help="where scenes and runs are made; 10⁶ scenes take 8 GB")
    arguments.add_argument("--json", type=Path, help="file for the measures, written after each")
    given = arguments.parse_args()
    measured: list[Measured] = []
    for scenes in sorted(int(size) for size in given.scenes.split(",")):
        folder = Path(tempfile.mkdtemp(prefix="headspan-moments-", dir=given.folder))
        try:
            measured.append(measure(given.program.resolve(), scenes, folder))
        finally:
            shutil.rmtree(folder)
        print(table(measured[-1:]), file=sys.stderr, flush=True)
        # What was measured is kept, whatever ends the rest.
        if given.json:
            given.json.write_text(json.dumps([asdict(one) for one in measured], indent=1))
    print(table(measured))
    print()
    print(table_of_bytes(measured))


if __name__ == "__main__":
    main()

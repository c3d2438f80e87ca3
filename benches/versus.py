#!/usr/bin/env python3
"""Two versions of headspan beside each other on this machine: each is measured in turn, OLD, NEW, OLD, NEW, on the CPU.

    python3 benches/versus.py OLD NEW [--shared FOLDER] [--only extract,textspan] [--rounds 3] [--images 20000] [--work FOLDER]

OLD and NEW are binaries. Prints a Markdown table of medians with their range; the last column is above 1 where NEW is faster. Takes
less than six minutes on two cores that are otherwise idle. The images are the photos of FOLDER/data/photos ($HEADSPAN_SHARED unless given), or rendered scenes
where they are absent; the weights are random. Wants numpy and pyarrow (tools/check/requirements.txt).
"""

import argparse
import dataclasses
import functools
import json
import math
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import explorer
import measure

MODEL, DATASET = "random-ViT-B-32", "versus"
CHECKPOINT_WRITER = measure.ROOT / "tools/check/random_checkpoint.py"
# Images of one extraction; questions of one turn.
EXTRACTED, NEIGHBOURS, START_PAGES = 128, 100, 10
# Rows of a part, as the pipeline has them.
PART = 1_024


@dataclasses.dataclass
class Version:
    """One of the binaries, and the folder that it works in."""

    name: str
    program: pathlib.Path
    folder: pathlib.Path

    def run(self, *words):
        return measure.child(self.program, "--quiet", *words, folder=self.folder)

    def record(self, dataset, stage):
        return json.loads((self.folder / "runs" / dataset / MODEL / f"stages/{stage}.json").read_text())


@dataclasses.dataclass
class Versus:
    """Both versions, and what the sections share."""

    old: Version
    new: Version
    work: pathlib.Path
    shared: pathlib.Path | None
    rounds: int
    images: int
    deadline: float = math.inf

    def alternate(self, method, rounds=None):
        """Lists of what `method` finds of each version, in turn, after one turn that does not count. On a busy machine fewer rounds than
        wanted, but one at least: none begins after the deadline."""
        methods = {version.name: functools.partial(method, version) for version in (self.old, self.new)}
        found = measure.alternate(methods, 1)
        for _ in range(1, rounds or self.rounds):
            if time.monotonic() > self.deadline:
                measure.said("out of time: no further round")
                break
            for name, values in measure.alternate(methods, 1, warm=0).items():
                found[name] += values
        return found

    def shared_file(self, name):
        found = self.shared / name if self.shared else None
        return found if found and found.exists() else None

    @functools.cached_property
    def checkpoint(self):
        measure.needs("numpy")
        folder = self.work / MODEL
        if not (folder / "open_clip_model.safetensors").is_file():
            measure.child(sys.executable, CHECKPOINT_WRITER, folder, "--tokenizer", measure.DEMO / "scenes-4/tokenizer.json")
        return folder

    @functools.cached_property
    def photos(self):
        """What `--images` is given, with a name for the table."""
        found = self.shared_file("data/photos")
        if found:
            return found, "photos"
        if not (self.work / "world").is_dir():
            self.old.run("scenes", "--out", self.work / "world", "--scenes", 250, "--pixels", 224, "--captions", 0)
        return self.work / "world/images", "rendered scenes"

    @functools.cached_property
    def run_of_photos(self):
        """A finished run of each version over the photos, with a pool of thousands of texts; the name of the pool."""
        pool = self.shared_file("data/image_descriptions_general.txt")
        command = ["run-all", "--checkpoint", self.checkpoint, "--images", self.photos[0], "--dataset", DATASET, "--device", "cpu"]
        for version in (self.old, self.new):
            measure.said(f"a run of {version.name} over {self.photos[1]}")
            version.run(*command, *(["--texts", pool] if pool else []))
        return "the published pool" if pool else "the built-in pool"


@dataclasses.dataclass
class Row:
    """One line of the table: what each version's rounds gave; of rates more is faster, of times less."""

    what: str
    found: dict
    digits: int = 2
    rate: bool = False

    def cells(self):
        old, new = self.found["OLD"], self.found["NEW"]
        faster = measure.ratio(new, old) if self.rate else measure.ratio(old, new)
        return [self.what, measure.told(old, self.digits), measure.told(new, self.digits), faster]


def extract(versus):
    """Extraction from files to Parquet, and the forward pass in it: the rate over the share of time in the model."""
    texts = measure.Bench(False, None, versus.work).two_texts()
    source, name = versus.photos

    def once(version):
        shutil.rmtree(version.folder / "runs/extract", ignore_errors=True)
        command = ["extract", "--checkpoint", versus.checkpoint, "--images", source, "--limit", EXTRACTED, "--texts", texts]
        version.run(*command, "--dataset", "extract", "--device", "cpu")
        figures = version.record("extract", "images")["figures"]
        return figures["images_per_second"], figures["images_per_second"] / figures["busy_share"]

    found = versus.alternate(once)
    whole, alone = ({name: [pair[at] for pair in pairs] for name, pairs in found.items()} for at in (0, 1))
    return [
        Row(f"forward pass of ViT-B/32 in `extract`, images/s ({EXTRACTED} {name})", alone, rate=True),
        Row("`extract`, files to Parquet, images/s", whole, rate=True),
    ]


def demo(versus):
    """The demo from nothing, and questions about its runs."""

    def run_all(version):
        shutil.rmtree(version.folder / "demo", ignore_errors=True)
        return version.run("run-all", "--runs", "demo", "--device", "cpu").seconds

    def ask(command):
        return lambda version: version.run(command, "--runs", "demo", "--dataset", "scenes").seconds

    return [
        Row("`run-all` of the demo, seconds", versus.alternate(run_all)),
        Row("`status` over the demo's two runs, seconds", versus.alternate(ask("status"), 4 * versus.rounds), 3),
        Row("`compare` over the demo's two runs, seconds", versus.alternate(ask("compare"), 4 * versus.rounds), 3),
    ]


def textspan(versus):
    """The stage alone, as its record has it."""
    pool = versus.run_of_photos

    def once(version):
        (version.folder / "runs" / DATASET / MODEL / "textspan.parquet").unlink()
        version.run("textspan", MODEL, "--dataset", DATASET)
        return version.record(DATASET, "textspan")["seconds"]

    return [Row(f"TEXTSPAN, 48 heads against {pool}, seconds", versus.alternate(once))]


def explore(versus):
    """The explorer over a run of many images: one client, both servers running, questions in turn."""
    versus.run_of_photos
    servers = {}
    try:
        for version in (versus.old, versus.new):
            measure.said(f"a run of {versus.images:,} images of {version.name}")
            runs = version.folder / "many"
            replicate(version.folder / "runs" / DATASET / MODEL, runs / DATASET / MODEL, versus.images)
            servers[version.name] = explorer.Server(runs, version.program, DATASET)
        measure.said("questions")
        near = versus.alternate(lambda version: neighbours(servers[version.name], versus.images), 3 * versus.rounds)
        start = versus.alternate(lambda version: [servers[version.name].ask("/") for _ in range(START_PAGES)])
    finally:
        for server in servers.values():
            server.stop()
    near, start = ({name: sum(turns, []) for name, turns in found.items()} for found in (near, start))
    what = f"neighbours under one head of {versus.images:,} images, ms"
    return [
        Row(f"{what}: median", near),
        Row(f"{what}: 99 %", {name: [percentile(times, 0.99)] for name, times in near.items()}),
        Row("start page of the explorer over that run, ms", start),
    ]


def neighbours(server, images):
    """Milliseconds of questions about other images under eight heads; the first turn, which reads their columns, does not count."""
    path = f"/r/{DATASET}/{MODEL}/neighbours.json?count=8"
    return [server.ask(f"{path}&heads=L11.H{number % 8}&image={number * 7919 % images}") for number in range(NEIGHBOURS)]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]


def replicate(source, target, images):
    """A run of as many images as are wanted from a finished run of few: its tables, with the rows of images over and over.

    In Python, so that it works with binaries whose crates are no longer there; latency depends on shapes and sizes alone.
    """
    measure.needs("pyarrow")
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("activations", "parts", ".*"))
    (target / "activations").mkdir()

    def repeated(table, first, count):
        rows = pa.array([(first + row) % table.num_rows for row in range(count)])
        indices = pa.array(range(first, first + count), pa.uint64())
        place = table.column_names.index("image_index")
        return table.take(rows).set_column(place, table.schema.field(place), indices)

    few = pq.read_table(target / "images.parquet")
    pq.write_table(repeated(few.filter(pc.equal(few["status"], "ok")), 0, images), target / "images.parquet", compression="zstd")
    parts = sorted((source / "activations").glob("part-*.parquet"))
    rows = pa.concat_tables([pq.ParquetFile(part).read() for part in parts]).combine_chunks()
    for number, first in enumerate(range(0, images, PART)):
        part = repeated(rows, first, min(PART, images - first))
        name = target / f"activations/part-{number:05}.parquet"
        # As the pipeline stores them: plain, in one row group.
        pq.write_table(part, name, compression="none", use_dictionary=False, write_statistics=False, row_group_size=PART)


SECTIONS = {"extract": extract, "demo": demo, "textspan": textspan, "explore": explore}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path, metavar="OLD")
    parser.add_argument("new", type=pathlib.Path, metavar="NEW")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each version that count (%(default)s); short commands get more")
    parser.add_argument("--minutes", type=float, default=5, help="no round begins later, but each section has one (%(default)s)")
    parser.add_argument("--images", type=int, default=20_000, help="images of the explorer's run (%(default)s)")
    shared = os.environ.get("HEADSPAN_SHARED")
    parser.add_argument("--shared", type=pathlib.Path, default=shared and pathlib.Path(shared), help="folder of shared files")
    parser.add_argument("--work", type=pathlib.Path, help="folder for checkpoints and runs, kept; default: a temporary one")
    given = parser.parse_args()
    given.only = given.only.split(",")
    unknown = [name for name in given.only if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return given


def measured(versus, wanted, end):
    """The rows of the table, and a sentence for each section that could not be measured. Sections share the time that is left."""
    rows, lacking = [], []
    for number, name in enumerate(wanted):
        begun = time.monotonic()
        versus.deadline = begun + (end - begun) / (len(wanted) - number)
        print(name, file=sys.stderr, flush=True)
        try:
            rows += [row.cells() for row in SECTIONS[name](versus)]
        except (measure.Missing, RuntimeError, KeyError) as error:  # the other sections must still be measured
            lacking.append(f"**Not measured**: {name}: {type(error).__name__}: {error}")
        measure.said(f"{time.monotonic() - begun:.0f} s")
    return rows, lacking


def main():
    given = arguments()
    for name in [name for name in os.environ if name.startswith("HEADSPAN__")]:
        del os.environ[name]  # settings of the user's are not those of the bench
    state, begun = measure.machine(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headspan-versus-") as temporary:
        work = (given.work or pathlib.Path(temporary)).resolve()
        versions = [Version(name, program.resolve(), work / name.lower()) for name, program in (("OLD", given.old), ("NEW", given.new))]
        for version in versions:
            version.folder.mkdir(parents=True, exist_ok=True)
        versus = Versus(*versions, work, given.shared and given.shared.resolve(), given.rounds, given.images)
        rows, lacking = measured(versus, given.only, begun + 60 * given.minutes)
    print(f"OLD {given.old}, NEW {given.new}. {state}, {os.getloadavg()[0]:.1f} at the end. Took {time.monotonic() - begun:.0f} s.\n")
    print(measure.table(["what, median (min–max)", "OLD", "NEW", "NEW faster by"], rows))
    print("\n".join(["", *lacking]) if lacking else "", end="")
    sys.exit(1 if lacking else 0)


if __name__ == "__main__":
    main()

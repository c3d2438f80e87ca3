"""Prove that two versions of headspan make the same tables, and answer the same commands in the same way.

Usage: same_tables.py OLD NEW [--shared DIR] [--only demo,photos,parquet,contract] [--keep DIR]

OLD and NEW are binaries. Each runs the whole pipeline on the CPU, in folders of its own, over

    demo      `headspan run-all` without images or models: two models over 2,000 scenes
    photos    the photos of SHARED/data/photos under a random checkpoint of ViT-B/32's size
    parquet   a Parquet data set under the demo's first model: CIFAR-10 of SHARED/data, or rendered scenes
    contract  answers, files and exit codes of other commands over the demo's runs (`contract.py`)

and every table is compared: byte for byte where its schema is the same, in every value where it is not (`table_diff.py`). What
may differ stands in `known_changes.py`. SHARED is $HEADSPAN_SHARED unless given; what needs it is skipped, with the reason, where
it is absent. Prints a line for each comparison; exit code 1 if one fails.
"""

import argparse
import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import contract
from binaries import Side
from json_diff import JsonDifference
from known_changes import VOLATILE_IN_RECORDS
from random_checkpoint import write_checkpoint
from table_diff import Verdict, compare_folders

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO_MODEL = ROOT / "data/demo/scenes-4"
CIFAR_IMAGES = 500
RENDERED_SCENES = 500


class Skipped(Exception):
    """Something that a comparison needs is not there; says what."""


@dataclasses.dataclass
class Bench:
    """Both sides, and where things come from and go to."""

    old: Side
    new: Side
    work: pathlib.Path
    shared: pathlib.Path | None

    def sides(self, world):
        return self.old.within(world), self.new.within(world)

    def of_shared(self, name):
        """A file or folder of the shared ones."""
        if self.shared is None:
            raise Skipped(f"needs {name} of the shared files: give --shared or HEADSPAN_SHARED")
        if not (self.shared / name).exists():
            raise Skipped(f"{self.shared / name} is not there")
        return self.shared / name


def demo(_bench):
    return [["run-all"]]


def photos(bench):
    images, tokenizer = bench.of_shared("data/photos"), bench.of_shared("data/clip-tokenizer.json")
    texts = bench.of_shared("data/image_descriptions_general.txt")
    checkpoint = bench.work / "random-ViT-B-32"
    write_checkpoint(checkpoint, tokenizer)
    where = ["--dataset", "photos"]
    return [["run-all", "--checkpoint", checkpoint, "--images", images, "--texts", texts, *where], ["compare", *where]]


def parquet(bench):
    try:
        images = bench.of_shared("data/cifar10/test-00000-of-00001.parquet")
        classes = bench.of_shared("data/cifar10/classes.txt")
    except Skipped:
        bench.old.must(["scenes", "--out", bench.work / "world", "--scenes", RENDERED_SCENES, "--seed", 5, "--format", "parquet"])
        images, classes = bench.work / "world/images", bench.work / "world/classes.txt"
    over = ["run-all", "--checkpoint", DEMO_MODEL, "--images", images, "--classes", classes, "--limit", CIFAR_IMAGES]
    # Once more with other settings: every layer, and fewer directions and texts than the heads have.
    other = ["--dataset", "settings", "--layers", "all", "--rank", 10, "--k", 12]
    return [[*over, "--dataset", "parquet"], ["compare", "--dataset", "parquet"], [*over, *other]]


WORLDS = {"demo": demo, "photos": photos, "parquet": parquet}


def pipelines(bench, world):
    """Runs both pipelines over a world; verdicts on all that they left."""
    commands = WORLDS[world](bench)
    sides = bench.sides(world)
    for side in sides:
        for words in commands:
            # `compare` runs no model.
            device = [] if words[0] == "compare" else ["--device", "cpu"]
            side.must([*words, *device])
    old, new = (side.folder for side in sides)
    yield from compare_folders(old, new, f"{world}: ")
    yield from compare_records(old, new, f"{world}: ")


def compare_records(old, new, label=""):
    """Verdicts on the stages' records: the same stages, rows and figures, but for what tells of time and settings."""
    names = [path.relative_to(old).as_posix() for path in sorted(old.rglob("stages/*.json"))]
    verdicts = [compare_record(old, new, name, label + name) for name in names]
    return verdicts or [Verdict(f"{label}records", False, "there is no record of a stage")]


def compare_record(old, new, name, label):
    if not (new / name).is_file():
        return Verdict(label, False, "the record is gone")
    texts = [(folder / name).read_text().replace(str(folder), "[folder]") for folder in (old, new)]
    found = JsonDifference(*map(json.loads, texts), VOLATILE_IN_RECORDS)
    if found.wrong:
        return Verdict(label, False, "; ".join(found.wrong))
    return Verdict(label, True, "rows and figures agree" + (f"; added {', '.join(found.added)}" if found.added else ""))


def contracts(bench):
    """Verdicts on other commands over the demo's runs, which are made if they have not been."""
    old, new = bench.sides("demo")
    for side in (old, new):
        if not (side.folder / "runs/scenes").is_dir():
            side.must(["run-all", "--device", "cpu"])
    labels = bench.shared and bench.shared / "data/published_head_labels.csv"
    yield from contract.verdicts(old, new, DEMO_MODEL, labels if labels and labels.is_file() else None)


def compare_all(bench, wanted):
    """Prints a line for each comparison as it is made; counts of those that passed, failed and were skipped."""
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for name in wanted:
        try:
            for verdict in contracts(bench) if name == "contract" else pipelines(bench, name):
                count["passed" if verdict.passed else "failed"] += 1
                print(verdict.line(), flush=True)
        except Skipped as reason:
            count["skipped"] += 1
            print(f"skip   {name}: {reason}", flush=True)
        except (RuntimeError, OSError, subprocess.TimeoutExpired, http.client.HTTPException) as error:
            # A command or server that must work did not: the other worlds are still compared.
            count["failed"] += 1
            print(Verdict(name, False, str(error)).line(), flush=True)
    return count


@contextlib.contextmanager
def folder_of(keep):
    """The folder to work in: a new one that is deleted at the end, or one that is kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="headspan-same-tables-") as folder:
            yield pathlib.Path(folder)
        return
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        sys.exit(f"{keep} is not empty: what older runs left there would be compared")
    yield keep.resolve()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path, metavar="OLD")
    parser.add_argument("new", type=pathlib.Path, metavar="NEW")
    shared = os.environ.get("HEADSPAN_SHARED")
    parser.add_argument("--shared", type=pathlib.Path, default=shared and pathlib.Path(shared), help="folder of shared files")
    parser.add_argument("--only", default=",".join([*WORLDS, "contract"]), help="what to compare, separated by commas (%(default)s)")
    parser.add_argument("--keep", type=pathlib.Path, help="an empty or new folder to work in, which is kept")
    given = parser.parse_args()
    given.only = given.only.split(",")
    unknown = [name for name in given.only if name not in [*WORLDS, "contract"]]
    if unknown:
        parser.error(f"--only: there is no {', '.join(unknown)}")
    for program in (given.old, given.new):
        if shutil.which(program) is None:
            parser.error(f"{program} is not a program")
    return given


def main():
    given = arguments()
    with folder_of(given.keep) as work:
        old = Side("old", given.old.resolve(), work).within("old")
        new = Side("new", given.new.resolve(), work).within("new")
        print(old.described(), new.described(), sep="\n", flush=True)
        count = compare_all(Bench(old, new, work, given.shared and given.shared.resolve()), given.only)
    print(", ".join(f"{number} {what}" for what, number in count.items()))
    sys.exit(1 if count["failed"] else 0)


if __name__ == "__main__":
    main()

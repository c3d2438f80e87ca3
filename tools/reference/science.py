"""Check every number of headspan's science commands against plain PyTorch: zeroshot, ablate, repair, prune and weights.

Usage: science.py WORK --headspan PROGRAM [--quick] [--photos FILE --train FILE --classes FILE] [--pool FILE] [--tokenizer FILE]
                  [--images 500] [--prune 500] [--runs all,last] [--float64] [--check]

WORK gets a random checkpoint of ViT-B/32's size (of 5 small blocks with --quick), the runs and the tables. Photos are the first of CIFAR-10's test
images in Hugging Face's layout, by default from `$HEADSPAN_SHARED/data/cifar10`; --quick makes do with noise where there are none. Of
the two runs one has all layers and one the last four, as is the default; repair and prune are asked of the last one. --prune limits the photos that go
through a pruned model. With --check the commands are not run again. --float64 computes the passes in float64, too; all else is in float64 in any case.

Each line of the output has a check's largest difference and its tolerance. Exit code 1 if one is beyond it. Accuracies must be equal but for images
whose margin is below 1e-6, where rounding decides; they are counted and named.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import torch

from science_direct import ablations, reconstructions, zeroshot
from science_model import pixels_of, read_model, write_checkpoint, write_photos
from science_prune import pruned, steered
from science_repair import repairs
from science_report import Report
from science_run import World
from science_weights import weights

ROOT = Path(__file__).parents[2]
#: The classes that drive or fly.
VEHICLES = {"airplane", "automobile", "ship", "truck"}
REPLACEMENTS = ("mean", "zero", "scale:0.3")
TEXTS = ("a photo of the day", "a photo of the night")
#: Factors whose product with a weight is rounded.
FACTORS = (0.3, 1.7, 0.1, -0.6)


class Program:
    """Runs headspan in the folder WORK and keeps its tables under names of their own."""

    def __init__(self, program: Path, work: Path) -> None:
        self.program, self.work = program.resolve(), work
        (work / "tables").mkdir(parents=True, exist_ok=True)

    def call(self, *arguments: str | Path, quiet: bool = True) -> str:
        command = [str(self.program), *map(str, arguments), "--runs", "runs"]
        print("$ headspan", *map(str, arguments), flush=True)
        done = subprocess.run(command, cwd=self.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stderr or ''}")
        return done.stdout

    def ask(self, name: str, dataset: str, *arguments: str | Path) -> None:
        """Asks a question of a run and keeps its answer and its table as `tables/NAME.json` and `.parquet`."""
        (self.work / "tables" / f"{name}.json").write_text(self.call(*arguments, "--dataset", dataset, "--json"))
        tables = {"ablate": "ablations", "repair": "repair", "prune": "pruning", "weights": "weights"}
        if table := tables.get(str(arguments[0])):
            shutil.copyfile(self.work / f"runs/{dataset}/model/{table}.parquet", self.work / f"tables/{name}.parquet")


def write_groups(work: Path, given: argparse.Namespace, names: list[str]) -> None:
    """The groups of the images: what they show, how light they are (by the same two words, so that the one can stand for the other), and a part for tests."""
    _, config = read_model(work / "model")
    labels = pl.read_parquet(given.photos, n_rows=given.images)["label"].to_list()
    light = pixels_of(given.photos, given.images, config).mean((1, 2, 3))
    bright = light > light.median()
    with (work / "groups.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image_id", "side", "light", "split"])
        for row, label in enumerate(labels):
            side = "vehicle" if names[label] in VEHICLES else "animal"
            out.writerow([f"{given.photos.name}/{row}", side, "vehicle" if bright[row] else "animal", row % 3])


def write_heads(work: Path) -> list[str]:
    """Files of heads and factors; the heads of a list."""
    model, _ = read_model(work / "model")
    last, heads = model.visual.transformer.layers - 1, model.visual.transformer.resblocks[0].attn.num_heads
    (work / "heads.txt").write_text(f"L{last}.H0\nL{last - 2}.H{heads - 1}\n\nL{last - 1}.H1\nL{last - 3}.H2\nL{last}.H0\n")
    places = [(last, 1), (last - 1, 0), (last - 2, 3), (0, 2)]
    rows = [f"L{layer}.H{head},{factor}" for (layer, head), factor in zip(places, FACTORS)]
    (work / "scales.csv").write_text("\n".join(["head,factor", *rows]) + "\n")
    return [f"L{last}.H1", f"L{last}.H2", f"L{last - 1}.H0"]


def chosen_by_labels(work: Path, dataset: str) -> tuple[str, int]:
    """A property and a CCS level that some heads have, but not most."""
    run = work / f"runs/{dataset}/model"
    labels = pl.read_parquet(run / "labels.parquet").drop_nulls("property")
    sizes = labels.group_by("property").len().sort("len", "property")
    fitting = sizes.filter(pl.col("len").is_between(2, labels.height // 2))
    levels = pl.read_parquet(run / "metrics.parquet").filter(pl.col("metric") == "ccs", pl.col("scope") == "head")
    counts = levels.group_by("value").len().sort("len", "value")
    return (fitting if fitting.height else sizes)["property"][-1], int(counts["value"][0])


def run_commands(work: Path, given: argparse.Namespace, names: list[str]) -> None:
    if not (work / "model/open_clip_model.safetensors").is_file():
        write_checkpoint(work / "model", "quick" if given.quick else "ViT-B-32", given.tokenizer, given.train, names, given.images)
    write_groups(work, given, names)
    heads = write_heads(work)
    program = Program(given.headspan, work)
    data = ("--checkpoint", "model", "--images", given.photos, "--classes", given.classes, "--limit", str(given.images), "--texts", given.pool)
    for dataset in given.runs:
        program.call("run-all", *data, *(("--layers", "all") if dataset == "all" else ()), "--dataset", dataset)
    model, groups = "model", ("--groups", "groups.csv")
    by = [part for how in REPLACEMENTS for part in ("--replace", how)]
    for dataset in given.runs:
        found, level = chosen_by_labels(work, dataset)
        program.ask(f"zeroshot-{dataset}", dataset, "zeroshot", model, *groups, "--group", "side", "--group", "light")
        program.ask(f"weights-{dataset}", dataset, "weights", model, "--directions", "4", "--texts-per-direction", "5")
        program.ask(f"ablate-{dataset}", dataset, "ablate", model, *groups, "--group", "side", "--group", "light", "--reconstruct", *by,
                    "--heads", ",".join(heads), "--head-file", "heads.txt", "--permutations", "100")
    chosen = ("--heads", found, "--heads", ",".join(heads), "--head-file", "heads.txt", "--by-ablation", "--count", "3",
              "--text", TEXTS[0], "--text", TEXTS[1], *by, "--permutations", "100")
    program.ask("repair-told", dataset, "repair", model, *groups, "--group", "side", "--group", "light", *chosen)
    program.ask("repair-learned", dataset, "repair", model, *groups, "--cue", "light", "--class", "side", "--learn", "--correlation", "0.95",
                "--test", "split=2", *chosen)
    program.call("prune", "--checkpoint", "model", "--scales", "scales.csv", "--save", "steered", "--dataset", dataset)
    few = ("--limit", str(given.prune))
    side = ("prune", model, *groups, "--group", "side", "--group", "light")
    program.ask("prune-level", dataset, *side, "--heads", ",".join(heads), "--ccs", str(level), "--random", "2" if given.quick else "0", *few)
    if given.quick:
        program.ask("prune-file", dataset, *side, "--head-file", "heads.txt", "--factor", "1.7", "--limit", "101")
    program.ask("prune-soft", dataset, *side, "--heads", found, "--factor", "0.3", "--save", "softer", *few)


def run_checks(work: Path, given: argparse.Namespace) -> int:
    model, config = read_model(work / "model")
    pixels = pixels_of(given.photos, given.images, config)
    if given.float64:
        model, pixels = model.double(), pixels.double()
    report = Report()
    world = World(work, model, pixels)
    print(f"\n{'check':58} {'largest difference':>20} {'tolerance':>10}")
    for dataset in given.runs:
        run = world.run(dataset)
        zeroshot(report, run)
        weights(report, run)
        ablations(report, run)
        reconstructions(report, run)
    repairs(report, run, "told", TEXTS)
    repairs(report, run, "learned", TEXTS)
    steered(report, run, pixels[:100])
    pruned(report, run, pixels)
    return report.end()


def made_photos(work: Path, given: argparse.Namespace) -> None:
    """Noise in the place of the photos."""
    work.mkdir(parents=True, exist_ok=True)
    given.photos, given.train, given.classes = (work / name for name in ("test.parquet", "train.parquet", "classes.txt"))
    for seed, path in enumerate((given.photos, given.train)):
        write_photos(path, given.images, seed)
    given.classes.write_text("\n".join(sorted(VEHICLES) + ["bird", "cat", "deer", "dog", "frog", "horse"]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("HEADSPAN_SHARED", ".")) / "data/cifar10"
    parser.add_argument("work", type=Path)
    parser.add_argument("--headspan", type=Path, default=Path("headspan"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--photos", type=Path, default=shared / "test-00000-of-00001.parquet")
    parser.add_argument("--train", type=Path, default=shared / "train-00000-of-00004.parquet")
    parser.add_argument("--classes", type=Path, default=shared / "classes.txt")
    parser.add_argument("--pool", type=Path, default=ROOT / "data/demo/descriptions.csv")
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "data/demo/scenes-4/tokenizer.json")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--prune", type=int, default=500)
    parser.add_argument("--runs", type=lambda text: text.split(","), default=["all", "last"])
    parser.add_argument("--float64", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    work = given.work.resolve()
    if given.quick and not given.photos.is_file():
        made_photos(work, given)
    given.photos, given.classes = given.photos.resolve(), given.classes.resolve()
    torch.manual_seed(0)
    np.random.seed(0)
    if not given.check:
        run_commands(work, given, given.classes.read_text().split())
    sys.exit(run_checks(work, given))


if __name__ == "__main__":
    main()

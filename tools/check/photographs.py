"""Ask a checkpoint all questions of docs/science.md over the test photos of CIFAR-10, and print what comes out as a table in Markdown.

Usage: photographs.py CHECKPOINT --headspan PROGRAM [--out photographs] [--limit 10000] [--layers all] [--pool FILE] [--templates FILE]

Photos are those of `$HEADSPAN_SHARED/data/cifar10`, or of --photos and --classes (Hugging Face's layout). The spurious cue is light: groups are animals
and vehicles, above and below the median brightness. Runs and tables are kept below --out; a second call continues. Needs polars, numpy and Pillow.
"""

import argparse
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

VEHICLES = {"airplane", "automobile", "ship", "truck"}
DATASET = "cifar-10"


class Program:
    def __init__(self, given: argparse.Namespace) -> None:
        self.program, self.out = given.headspan.resolve(), given.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)

    def ask(self, *arguments: object) -> dict | list:
        print("headspan", *arguments, file=sys.stderr, flush=True)
        command = [self.program, *map(str, arguments), "--dataset", DATASET, "--runs", self.out / "runs", "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"exit code {done.returncode}")
        return json.loads(done.stdout)


def write_groups(photos: Path, classes: Path, limit: int, out: Path) -> None:
    names, table = classes.read_text().split(), pl.read_parquet(photos, n_rows=limit)
    light = np.array([np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("L")).mean() for row in table["image"]])
    sides = ["vehicle" if names[label] in VEHICLES else "animal" for label in table["label"]]
    ids = [f"{photos.name}/{row}" for row in range(table.height)]
    pl.DataFrame({"image_id": ids, "side": sides, "light": np.where(light > np.median(light), "light", "dark")}).write_csv(out)


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def interval(row: dict, low: str = "ci_low", high: str = "ci_high") -> str:
    return f"{percent(row[low])}–{percent(row[high])}"


class Summary:
    """Rows of the table: question, figure, value, interval, what it is compared with."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []

    def add(self, question: str, figure: str, value: str, between: str = "", beside: str = "") -> None:
        self.rows.append(tuple(cell.replace(" | ", " / ") for cell in (question, figure, value, between, beside)))

    def zeroshot(self, answer: dict) -> None:
        rows = answer["accuracy"]
        for row in (row for row in rows if row["scope"] == "all"):
            self.add("zeroshot", f"{row['metric']} accuracy of {row['n']} photos", percent(row["accuracy"]), interval(row))
        classes = [row for row in rows if row["scope"] == "class" and row["metric"] == "top1"]
        for what, row in (("lowest", min(classes, key=lambda row: row["accuracy"])), ("highest", max(classes, key=lambda row: row["accuracy"]))):
            self.add("zeroshot", f"{what} class, {row['class_id']}", percent(row["accuracy"]), interval(row))

    def ablations(self, table: pl.DataFrame) -> None:
        table = table.filter(pl.col("scope") == "all")
        self.add("ablate", "the other half of the photos, whole model", percent(table["accuracy_before"][0]), "", f"{table['n'][0]} photos")
        for row in table.filter(pl.col("kind").is_in(["rest", "mlps"])).iter_rows(named=True):
            what = "MLPs and input" if row["kind"] == "mlps" else row["target"]
            self.add("ablate", f"without {what}", percent(row["accuracy_after"]), interval(row))
        layers = table.filter(pl.col("kind") == "layers")
        for row in layers.gather(sorted({layers.height // 2 - 1, layers.height - 1} & set(range(layers.height)))).iter_rows(named=True):
            self.add("ablate", f"without attention of {row['target']}", percent(row["accuracy_after"]), interval(row))
        for row in table.filter(pl.col("kind") == "head").sort("accuracy_after").head(2).iter_rows(named=True):
            self.add("ablate", f"without {row['target']}, one of the two that cost most", percent(row["accuracy_after"]), interval(row))
        for row in table.filter(pl.col("kind") == "property").sort("accuracy_after").iter_rows(named=True):
            p = "" if row["p"] is None else f"p of random heads {row['p']:.3f}"
            self.add("ablate", f"without the heads labelled {row['target']}", percent(row["accuracy_after"]), interval(row), p)

    def reconstructions(self, table: pl.DataFrame) -> None:
        other = {(row["directions"], row["k"]): row for row in table.iter_rows(named=True)}
        for (directions, k), row in other.items():
            if directions == "texts":
                beside = ", ".join(f"{percent(other[name, k]['accuracy'])} {what}" for name, what in (("random", "random texts"), ("pca", "principal directions")) if (name, k) in other)
                self.add("ablate --reconstruct", f"{k} texts of each head", percent(row["accuracy"]), interval(row), beside)
        self.add("ablate --reconstruct", "whole output of the heads", percent(other["all", None]["accuracy"]), interval(other["all", None]))

    def pruned(self, table: pl.DataFrame) -> None:
        table = table.filter(pl.col("scope") == "all")
        for row in table.iter_rows(named=True):
            between = "" if row["target"].startswith("random") else interval(row)
            self.add("prune", f"{row['target']}, {row['heads']} heads times {row['factor']:g}", percent(row["accuracy_after"]), between, f"{percent(row['accuracy_before'])} before")

    def repaired(self, table: pl.DataFrame) -> None:
        for row in table.filter(pl.col("scope") == "worst_group").iter_rows(named=True):
            heads = ", ".join(row["heads"]) or "none"
            p = "" if row["p"] is None else f", p {row['p']:.3f}"
            self.add("repair", f"worst group, {row['choice']} {row['target']} ({heads})", percent(row["accuracy_after"]), interval(row), f"{percent(row['accuracy_before'])} before{p}")

    def weighed(self, answer: dict) -> None:
        heads = [head for head in answer["heads"] if head["directions"]]
        mean = lambda values: sum(values) / max(len(values), 1)
        self.add("weights", f"first direction's share, mean of {len(heads)} heads", percent(mean([head["directions"][0]["share"] for head in heads])))
        self.add("weights", "cosine of the first direction and its texts, mean", f"{mean([head['directions'][0]['fidelity'] for head in heads]):.2f}")
        shared = [head for head in heads if head.get("span_share") is not None]
        if shared:
            chance = mean([head["span_share_by_chance"] for head in shared])
            self.add("weights", "TEXTSPAN's texts within the first directions, mean", percent(mean([head["span_share"] for head in shared])), "", f"{percent(chance)} by chance")

    def stability(self, table: pl.DataFrame) -> None:
        for row in table.filter(pl.col("layer").is_null()).iter_rows(named=True):
            between = "" if row["ci_low"] is None else f"{row['ci_low']:.2f}–{row['ci_high']:.2f}"
            value = "" if row["value"] is None else f"{row['value']:.2f}"
            self.add("stability", f"{row['metric']} of {row['kind']}", value, between)

    def show(self) -> None:
        print("| command | figure | % or as named | 95 % interval | beside it |\n|---|---|---|---|---|")
        for row in self.rows:
            print("| " + " | ".join(row) + " |")


def ask_all(given: argparse.Namespace) -> Summary:
    program, summary = Program(given), Summary()
    groups = program.out / "groups.csv"
    write_groups(given.photos, given.classes, given.limit, groups)
    model = given.checkpoint.resolve().name
    pool = ["--texts", given.pool] if given.pool else []
    program.ask("run-all", "--checkpoint", given.checkpoint, "--images", given.photos, "--classes", given.classes, "--limit", given.limit, "--layers", given.layers, *pool)
    run = program.out / "runs" / DATASET / model
    read = lambda name: pl.read_parquet(run / f"{name}.parquet")
    templates = ["--templates", given.templates] if given.templates else []
    columns = ["--groups", groups, "--group", "side", "--group", "light"]
    summary.zeroshot(program.ask("zeroshot", model, *templates))
    program.ask("ablate", model, *columns, "--reconstruct", "--permutations", given.permutations)
    summary.ablations(read("ablations"))
    summary.reconstructions(read("reconstruction"))
    levels = read("metrics").filter(pl.col("metric") == "ccs", pl.col("scope") == "head")["value"].drop_nulls()
    asked = [part for level in sorted({int(levels.min()), int(levels.max())}) for part in ("--ccs", level)]
    program.ask("prune", model, *asked, "--random", "1", "--limit", given.prune)
    summary.pruned(read("pruning"))
    texts = ("a bright photo", "a dark photo")
    program.ask("repair", model, *columns, "--by-ablation", *[part for text in texts for part in ("--text", text)], "--permutations", given.permutations)
    summary.repaired(read("repair"))
    summary.weighed(program.ask("weights", model))
    program.ask("stability", model)
    summary.stability(read("stability"))
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("HEADSPAN_SHARED", ".")) / "data/cifar10"
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--headspan", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("photographs"))
    parser.add_argument("--photos", type=Path, default=shared / "test-00000-of-00001.parquet")
    parser.add_argument("--classes", type=Path, default=shared / "classes.txt")
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--layers", default="all")
    parser.add_argument("--pool", help="pool of descriptions; default: that of the configuration")
    parser.add_argument("--templates", help="templates of the classes' texts, as the model was trained with")
    parser.add_argument("--permutations", type=int, default=1_000)
    parser.add_argument("--prune", type=int, default=2_000, help="photos that go through the pruned model, for each set of heads")
    ask_all(parser.parse_args()).show()


if __name__ == "__main__":
    main()

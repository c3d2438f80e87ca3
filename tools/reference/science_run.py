"""A run of headspan beside all that PyTorch knows of its photos: contributions, classes, labels, halves and groups."""

import json
from functools import cached_property
from pathlib import Path

import polars as pl
import torch

from science_model import dense, embed
from science_report import Accuracies, Outcome, outcome
from zeroshot import for_means, replaced

Head = tuple[int, int]


def head_of(name: str) -> Head:
    layer, head = name.removeprefix("L").split(".H")
    return int(layer), int(head)


class World:
    """The model and the photos. What a pass takes longest for is kept in `WORK/dense-TYPE.pt`, for the next `--check`."""

    def __init__(self, work: Path, model: torch.nn.Module, pixels: torch.Tensor) -> None:
        self.work, self.model, self.pixels = work, model, pixels
        kept = work / f"dense-{str(pixels.dtype).removeprefix('torch.')}.pt"
        if not kept.is_file() or kept.stat().st_mtime < (work / "model/open_clip_model.safetensors").stat().st_mtime:
            torch.save(dense(model, pixels), kept)
        self.heads, self.whole = torch.load(kept)
        assert len(self.whole) == len(pixels)

    def run(self, dataset: str) -> "Run":
        return Run(self, dataset)


class Run:
    """A run, and all that is known of its photos from PyTorch alone."""

    def __init__(self, world: World, dataset: str) -> None:
        self.world, self.dataset, self.path = world, dataset, world.work / f"runs/{dataset}/model"
        self.images = self.read("images")
        assert self.images["status"].unique().to_list() == ["ok"]
        readout = self.read("readout").sort("layer", "head")
        self.names: list[Head] = list(readout.select("layer", "head").iter_rows())
        self.heads = torch.stack([world.heads[:, layer, head] for layer, head in self.names], 1)
        self.whole = world.whole
        classes = self.read("classes").sort("class_index")
        self.class_ids = classes["class_id"].to_list()
        self.labels = torch.tensor([self.class_ids.index(name) for name in self.images["class_id"]])
        self.half = torch.tensor([for_means(name) for name in self.images["image_id"]])
        templates = json.loads((self.path / "stages/classes.json").read_text())["config"]["templates"]
        texts = [template.replace("{}", name) for name in classes["name"] for template in templates]
        embedded = embed(world.model, world.work / "model", texts).double().unflatten(0, (len(self.class_ids), -1)).mean(1)
        self.classes = embedded / embedded.norm(dim=1, keepdim=True)
        self.scores, self.said = self.whole @ self.classes.T, self.heads @ self.classes.T
        table = pl.read_csv(world.work / "groups.csv")
        rows = {row["image_id"]: row for row in table.iter_rows(named=True)}
        self.columns = [rows[name] for name in self.images["image_id"]]
        self.groups = [f"side={row['side']} light={row['light']}" for row in self.columns]

    def read(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.path / f"{name}.parquet")

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.world.work / f"tables/{name}.parquet")

    def answer(self, name: str) -> dict:
        return json.loads((self.world.work / f"tables/{name}.json").read_text())

    @cached_property
    def pool(self) -> torch.Tensor:
        return embed(self.world.model, self.world.work / "model", self.read("texts").sort("text_index")["text"].to_list()).double()

    @cached_property
    def before(self) -> Outcome:
        return outcome(self.scores, self.labels)

    def accuracies(self, keep: torch.Tensor) -> Accuracies:
        return Accuracies(self.images["image_id"].to_list(), keep, self.groups, self.labels, self.class_ids)

    def places(self, target: str) -> list[int]:
        """Positions of the heads of a list, of the file, or of a property."""
        if target == "heads.txt":
            lines = (self.world.work / target).read_text().split()
            return [self.names.index(head_of(line)) for line in dict.fromkeys(lines)]
        if ".H" in target:
            return [self.names.index(head_of(name)) for name in target.split(",")]
        own = self.read("labels").filter(pl.col("property") == target)
        return [self.names.index(name) for name in own.select("layer", "head").iter_rows()]


def without(run: Run, said: torch.Tensor, half: torch.Tensor, how: str) -> Outcome:
    """Outcome where what a part says to the classes, `[n, classes]`, is replaced."""
    return outcome(run.scores - said + replaced(said, half, how), run.labels)

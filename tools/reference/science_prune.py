"""The checks of `headspan prune` and of checkpoints with heads scaled, by hooks in the forward pass."""

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file

from science_draws import draw_heads
from science_model import TotalEffects, read_model
from science_report import Outcome, Report, outcome, together
from science_run import Run, head_of


def heads_of(run: Run, target: str) -> list[int]:
    """Positions of the heads of a target."""
    if not target.startswith("CCS"):
        return run.places(target)
    own = run.read("metrics").filter(pl.col("metric") == "ccs", pl.col("scope") == "head", pl.col("value") == float(target.split()[1]))
    return [run.names.index(name) for name in own.select("layer", "head").iter_rows()]


class Pruning:
    """The photos of one table, classified with heads scaled in the forward pass."""

    def __init__(self, run: Run, table: pl.DataFrame, pixels: torch.Tensor) -> None:
        count, all_photos = table.filter(pl.col("scope") == "all")["n"][0], len(run.labels)
        self.run, self.keep = run, torch.zeros(all_photos, dtype=torch.bool)
        self.keep[[at * all_photos // count for at in range(count)]] = True
        targets = [name for name in table["target"].unique() if not name.startswith("random")]
        self.sets = {name: heads_of(run, name) for name in targets}
        layers = [run.names[place][0] for places in self.sets.values() for place in places]
        first = 0 if len(targets) < table["target"].n_unique() else min(layers)
        self.effects = TotalEffects(run.world.model, pixels[self.keep], first)

    def outcome(self, places: list[int], factor: float) -> Outcome:
        features = self.effects.features({self.run.names[place]: factor for place in places})
        own = outcome(features @ self.run.classes.T, self.run.labels[self.keep])
        right, close = np.zeros(len(self.keep), dtype=bool), np.zeros(len(self.keep), dtype=bool)
        right[self.keep.numpy()], close[self.keep.numpy()] = own.right, own.close
        return Outcome(right, close)


def pruned(report: Report, run: Run, pixels: torch.Tensor) -> None:
    for name in ("prune-level", "prune-file", "prune-soft"):
        if not (run.world.work / f"tables/{name}.parquet").is_file():
            continue
        table = run.table(name)
        pruning = Pruning(run, table, pixels)
        report.line(f"{name}: features without hooks", float((pruning.effects.features({}) - run.whole[pruning.keep]).abs().max()), 1e-5)
        found, number = run.accuracies(pruning.keep), -1
        for (target,), rows in table.group_by("target", maintain_order=True):
            factor = rows["factor"][0]
            if target.startswith("random"):
                sets = [draw_heads(len(run.names), rows["heads"][0], 0, number, draw) for draw in range(2)]
                random = together([pruning.outcome(places, factor) for places in sets])
                for row in rows.iter_rows(named=True):
                    shares, slack, _ = found.share(row, random)
                    for column, value in (("accuracy_after", shares.mean()), ("ci_low", shares.min()), ("ci_high", shares.max())):
                        found.number(f"{name} {target}, {row['scope']} {row['group'] or row['class_id'] or ''}, {column}", row[column], value, slack)
                continue
            number += 1
            after = pruning.outcome(pruning.sets[target], factor)
            for row in rows.iter_rows(named=True):
                found.number(f"{name} {target}, heads", row["heads"], len(pruning.sets[target]))
                found.row(f"{name} {target}", row, run.before, after)
        report.accuracies(f"{name}: total effects through hooks", found)


def steered(report: Report, run: Run, pixels: torch.Tensor) -> None:
    """Checkpoints with heads scaled against hooks. A saved weight is the product of a float32 and a factor, rounded once, and no other weight changes; a
    relative error of 2^-24 in a few columns is no more than what rounding adds in each layer of a pass, for which 1e-5 has room."""
    world, soft = run.world, run.table("prune-soft")
    scales = pl.read_csv(world.work / "scales.csv")
    cases = {
        "steered": {head_of(row["head"]): row["factor"] for row in scales.iter_rows(named=True)},
        "softer": {run.names[place]: soft["factor"][0] for place in run.places(soft["target"][0])},
    }
    weights = load_file(world.work / "model/open_clip_model.safetensors")
    effects = TotalEffects(world.model, pixels, 0)
    plain = effects.features({})
    for name, factors in cases.items():
        saved, wanted = load_file(world.work / name / "open_clip_model.safetensors"), dict(weights)
        for (layer, head), scale in factors.items():
            key = f"visual.transformer.resblocks.{layer}.attn.out_proj.weight"
            width = wanted[key].shape[0] // world.model.visual.transformer.resblocks[layer].attn.num_heads
            columns = slice(head * width, (head + 1) * width)
            wanted[key] = wanted[key].clone()
            wanted[key][:, columns] *= torch.tensor(scale, dtype=torch.float32)
        differing = [key for key in wanted if key not in saved or not torch.equal(saved[key], wanted[key])]
        report.equal(f"{name}: tensors that are not the product, rounded once", differing, [])
        loaded = read_model(world.work / name)[0].to(pixels.dtype)
        ours, hooked = TotalEffects(loaded, pixels, 0).features({}), effects.features(factors)
        report.line(f"{name}: features of the checkpoint and through hooks", float((ours - hooked).abs().max()), 1e-5)
        report.line(f"{name}: 1e-3 over what hooks change", 1e-3 / max(float((hooked - plain).abs().max()), 1e-12), 1)

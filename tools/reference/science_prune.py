"""The checks of `headspan prune` and of checkpoints with heads scaled, by hooks in the forward pass."""

import polars as pl
import torch
from safetensors.torch import load_file

from science_run import Run, World, head_of
from science_draws import draw_heads
from science_model import TotalEffects, read_model
from science_report import Outcome, Report, outcome, together


def pruned(report: Report, run: Run, pixels: torch.Tensor) -> None:
    effects = TotalEffects(run.world.model, pixels, min(layer for layer, _ in run.names))
    report.line("prune: features without hooks", float((effects.features({}) - run.whole).abs().max()), 1e-5)
    for name in ("prune-level", "prune-file", "prune-soft"):
        if not (run.world.work / f"tables/{name}.parquet").is_file():
            continue
        table = run.table(name)
        n = table.filter(pl.col("scope") == "all")["n"][0]
        keep = torch.zeros(len(run.labels), dtype=torch.bool)
        keep[[at * len(keep) // n for at in range(n)]] = True
        found, number = run.accuracies(keep), -1

        def scaled(places: list[int], factor: float) -> Outcome:
            return outcome(effects.features({run.names[place]: factor for place in places}) @ run.classes.T, run.labels)

        for (target,), rows in table.group_by("target", maintain_order=True):
            factor = rows["factor"][0]
            if target.startswith("random"):
                sets = [draw_heads(len(run.names), rows["heads"][0], 0, number, draw) for draw in range(2)]
                random = together([scaled(places, factor) for places in sets])
                for row in rows.iter_rows(named=True):
                    shares, slack, _ = found.share(row, random)
                    for column, value in (("accuracy_after", shares.mean()), ("ci_low", shares.min()), ("ci_high", shares.max())):
                        found.number(f"{name} {target}, {row['scope']} {row['group'] or row['class_id'] or ''}, {column}", row[column], value, slack)
                continue
            number += 1
            if target.startswith("CCS"):
                own = run.read("metrics").filter(pl.col("metric") == "ccs", pl.col("scope") == "head", pl.col("value") == float(target.split()[1]))
                places = [run.names.index(name) for name in own.select("layer", "head").iter_rows()]
            else:
                places = run.places(target)
            after = scaled(places, factor)
            for row in rows.iter_rows(named=True):
                found.number(f"{name} {target}, heads", row["heads"], len(places))
                found.row(f"{name} {target}", row, run.before, after)
        report.accuracies(f"{name}: total effects through hooks", found)


def steered(report: Report, world: World, pixels: torch.Tensor) -> None:
    """Checkpoints with heads scaled against hooks. A saved weight is the product of a float32 and a factor, rounded once, and no other weight changes; a
    relative error of 2^-24 in a few columns is no more than what rounding adds in each layer of a pass, for which 1e-5 has room."""
    scales = pl.read_csv(world.work / "scales.csv")
    soft = world.run("last")
    property_name, factor = soft.table("prune-soft")["target"][0], soft.table("prune-soft")["factor"][0]
    cases = {
        "steered": {head_of(row["head"]): row["factor"] for row in scales.iter_rows(named=True)},
        "softer": {soft.names[place]: factor for place in soft.places(property_name)},
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

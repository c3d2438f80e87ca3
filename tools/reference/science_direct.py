"""The checks of `headspan zeroshot` and `ablate`: each reads a table and computes its numbers densely, in float64, from `docs/science.md`."""

import numpy as np
import polars as pl
import torch

from science_draws import draw_heads
from science_report import Outcome, Report, outcome, together
from science_run import Run, without
from zeroshot import UNDECIDED, orthonormal, principal, reconstructed


def zeroshot(report: Report, run: Run) -> None:
    name, table, classes = run.dataset, run.read("zeroshot").sort("image_index"), run.read("classes").sort("class_index")
    stored = pl.concat([pl.read_parquet(part) for part in sorted((run.path / "activations").glob("part-*.parquet"))])
    scalars = stored.select("inv_scale", "mean_scale", "inv_norm").to_numpy().astype(np.float64)
    furthest = 0.0
    for place, row in enumerate(run.read("readout").sort("layer", "head").iter_rows(named=True)):
        u = np.concatenate([stored[f"L{row['layer']}.H{row['head']}"].to_numpy().astype(np.float64), scalars], 1)
        c = u @ np.asarray(row["readout"], dtype=np.float64).reshape(row["d"], -1).T
        furthest = max(furthest, float(np.abs(c - run.heads[:, place].numpy()).max()))
    report.line(f"{name}: contributions of {len(run.names)} heads", furthest, 1e-5)
    ours = torch.from_numpy(np.stack(classes["embedding"].to_numpy())).double()
    report.line(f"{name}: class embeddings", float((ours - run.classes).abs().max()), 1e-5)
    top = run.scores.topk(2, dim=1)
    margins = top.values[:, 0] - top.values[:, 1]
    decided = margins >= UNDECIDED
    differing = int((torch.tensor(table["predicted"].to_list()) != top.indices[:, 0])[decided].sum())
    report.line(f"{name}: predictions of {len(margins)} images that differ", differing, 0)
    report.line(f"{name}: margins", float((torch.tensor(table["margin"].to_list()).double() - margins).abs().max()), 1e-5)
    own = run.scores.gather(1, run.labels[:, None])
    near = ((run.scores - own).abs() < UNDECIDED).sum(1) - 1
    rank = (run.scores > own).sum(1)
    away = (torch.tensor(table["rank"].to_list()) - rank).abs() - near
    report.line(f"{name}: ranks that differ", int((away > 0).sum()), 0)
    found = run.accuracies(torch.ones(len(margins), dtype=torch.bool))
    for row in run.answer(f"zeroshot-{name}")["accuracy"]:
        of = run.before if row["metric"] == "top1" else Outcome((rank < 5).numpy(), (near > 0).numpy())
        found.row(f"zeroshot {row['metric']}", {**row, "accuracy_after": row["accuracy"], "accuracy_before": row["accuracy"]}, of, of)
    report.accuracies(f"{name}: zero-shot accuracies and intervals", found)


def ablations(report: Report, run: Run) -> None:
    table, found = run.table(f"ablate-{run.dataset}"), run.accuracies(~run.half)
    chosen, drawn = table.filter(pl.col("kind") != "random"), table.filter(pl.col("kind") == "random")
    draws: dict[tuple[int, str], Outcome] = {}
    for (kind, target, how), rows in drawn.group_by("kind", "target", "replacement", maintain_order=True):
        size = int(target.split()[0])
        sets = [draw_heads(len(run.names), size, 0, size, draw) for draw in range(100)]
        random = draws[size, how] = together([without(run, run.said[:, own].sum(1), run.half, how) for own in sets])
        for row in rows.iter_rows(named=True):
            shares, slack, _ = found.share(row, random)
            wanted = [shares.mean(), *(np.sort(shares)[int((len(shares) - 1) * at + 0.5)] for at in (0.025, 0.975))]
            for column, value in zip(("accuracy_after", "ci_low", "ci_high"), wanted):
                found.number(f"{target} at random by {how}, {row['scope']} {row['group'] or row['class_id'] or ''}, {column}", row[column], value, slack)
    for (kind, target, how), rows in chosen.group_by("kind", "target", "replacement", maintain_order=True):
        size = len(run.names)
        if kind in ("rest", "mlps"):
            said = run.scores - run.said.sum(1)
        elif kind == "layers":
            last = int(target.split("-")[-1].removeprefix("L"))
            said = run.said[:, [place for place, (layer, _) in enumerate(run.names) if layer <= last]].sum(1)
        else:
            places = run.places(target)
            said, size = run.said[:, places].sum(1), len(places)
        after = without(run, said, run.half, how)
        for row in rows.iter_rows(named=True):
            found.row(f"{kind} {target} by {how}", row, run.before, after)
            random = draws.get((size, how)) if kind in ("property", "list", "file") and row["scope"] != "class" else None
            wanted, slack = None, 0.0
            if random:
                shares, slack, _ = found.share(row, random)
                change = abs(row["accuracy_after"] - row["accuracy_before"]) - 1e-12
                wanted, slack = (1 + (np.abs(shares - row["accuracy_before"]) >= change).sum()) / (1 + len(shares)), float(slack > 0)
            found.number(f"{kind} {target} by {how}, p of {row['scope']}", row["p"], wanted, slack)
    targets = table.select("kind", "target").unique().group_by("kind").len().sort("kind")
    counts = ", ".join(f"{kind} {count}" for kind, count in targets.iter_rows())
    report.accuracies(f"{run.dataset}: ablations ({counts})", found)


def reconstructions(report: Report, run: Run) -> None:
    found, spans = run.accuracies(~run.half), run.read("textspan").sort("pick")
    pool, parts = run.pool.numpy(), run.heads.numpy()
    sets: dict[str, list[np.ndarray]] = {"texts": [], "pca": []}
    for place, (layer, head) in enumerate(run.names):
        own = spans.filter(pl.col("layer") == layer, pl.col("head") == head)
        rank = own["effective_rank"][0]
        sets["texts"].append(orthonormal(pool[own["text_index"].to_list()], parts[:, place], rank))
        sets["pca"].append(principal(parts[run.half.numpy(), place], rank))
    table = run.read("reconstruction")
    outcomes = {"model": run.before, "all": outcome(reconstructed(run.whole, run.heads, run.half, [None] * len(run.names)) @ run.classes.T, run.labels)}
    whole = None
    for row in table.filter(pl.col("directions") != "random").iter_rows(named=True):
        name, k = row["directions"], row["k"]
        of = outcomes.get(name)
        if of is None:
            of = outcome(reconstructed(run.whole, run.heads, run.half, [own[:k] for own in sets[name]]) @ run.classes.T, run.labels)
        row |= {"scope": "all", "group": None, "accuracy_after": row["accuracy"], "accuracy_before": row["accuracy"]}
        found.row(f"reconstruction {name} {k}", row, of, of)
        whole = row["accuracy"] if name == "all" else whole
        if whole:
            found.number(f"kept by {name} {k}", row["kept"], row["accuracy"] / whole)
    report.accuracies(f"{run.dataset}: reconstructions", found)

"""The checks of `headspan repair`, densely in float64."""

import polars as pl
import torch

from science_draws import draw_heads
from science_model import embed
from science_report import Accuracies, Outcome, Report, outcome, together
from science_run import Run, without
from zeroshot import replaced


class Repair:
    """Accuracy without heads of one of the two classifiers of `headspan repair`."""

    def __init__(self, run: Run, kind: str) -> None:
        self.run, self.is_learned = run, kind == "learned"
        side, light = ([row[name] for row in run.columns] for name in ("side", "light"))
        if self.is_learned:
            self.choice = torch.tensor([row["split"] != 2 for row in run.columns])
            groups, classes = [f"class={one} light={other}" for one, other in zip(side, light)], sorted(set(side))
            labels = torch.tensor([classes.index(name) for name in side])
            agrees = torch.tensor([one == other for one, other in zip(side, light)])
            # Of each class's weight, 95 % goes to the images whose cue has the value of the class.
            self.weights = torch.zeros(len(classes), len(side), dtype=torch.float64)
            for place in range(len(classes)):
                for mask, share in ((agrees, 0.95), (~agrees, 0.05)):
                    own = self.choice & (labels == place) & mask
                    self.weights[place, own] = share / int(own.sum())
        else:
            self.choice, groups, labels, classes = run.half, run.groups, run.labels, run.class_ids
        self.labels = labels
        self.over = {half: Accuracies(run.images["image_id"].to_list(), keep, groups, labels, classes) for half, keep in (("choice", self.choice), ("accuracy", ~self.choice))}

    def outcome(self, heads: list[int], how: str) -> Outcome:
        if not self.is_learned:
            return without(self.run, self.run.said[:, heads].sum(1), self.choice, how)
        part = self.run.heads[:, heads].sum(1)
        x = self.run.whole - part + replaced(part, self.choice, how)
        means = self.weights @ x
        return outcome(x @ means.T - means.square().sum(1) / 2, self.labels)

    def by_ablation(self, how: str, most: int) -> tuple[list[int], list[float]]:
        over, heads, values = self.over["choice"], [], []
        of = lambda found: tuple(float(over.share({"scope": scope}, found)[0]) for scope in ("worst_group", "all"))
        worst = of(self.outcome([], how))[0]
        while len(heads) < most:
            others = [place for place in range(len(self.run.names)) if place not in heads]
            keys = [of(self.outcome([*heads, place], how)) for place in others]
            best = max(range(len(others)), key=keys.__getitem__)
            if keys[best][0] <= worst:
                break
            worst = keys[best][0]
            heads.append(others[best])
            values.append(worst)
        return heads, values

    def by_text(self, texts: tuple[str, ...], count: int) -> tuple[list[int], list[float]]:
        world = self.run.world
        cue = embed(world.model, world.work / "model", list(texts)).double()
        cue = cue - cue.mean(0)
        varied = (self.run.heads[self.choice] @ cue.T).var(0).sum(1) / cue.square().sum()
        order = varied.sort(descending=True, stable=True).indices[:count].tolist()
        return order, varied.sqrt()[order].tolist()


def repairs(report: Report, run: Run, kind: str, texts: tuple[str, ...]) -> None:
    repair, furthest = Repair(run, kind), 0.0
    found, before = repair.over["accuracy"], repair.outcome([], "zero")
    random: dict[tuple[int, str], Outcome] = {}
    for (choice, target, how), rows in run.table(f"repair-{kind}").group_by("choice", "target", "replacement", maintain_order=True):
        if choice in ("ablation", "text"):
            heads, values = repair.by_ablation(how, 3) if choice == "ablation" else repair.by_text(texts, 3)
            differences = [abs(one - other) for one, other in zip(rows["values"][0], values)]
            furthest = max([furthest, *differences])
        else:
            heads = run.places(target)
        names = ["L{}.H{}".format(*run.names[place]) for place in heads]
        stored = rows["heads"][0].to_list()
        report.equal(f"repair {kind}: heads by {choice}, {how}", *((sorted(stored), sorted(names)) if choice in ("list", "property") else (stored, names)))
        after, size = repair.outcome(heads, how), len(heads)
        if size and (size, how) not in random:
            sets = [draw_heads(len(run.names), size, 0, size, draw) for draw in range(100)]
            random[size, how] = together([repair.outcome(own, how) for own in sets])
        for row in rows.iter_rows(named=True):
            what = f"repair {kind} by {choice} {how}"
            found.row(what, row, before, after)
            if not size:
                continue
            shares, slack, _ = found.share(row, random[size, how])
            p = (1 + (shares >= row["accuracy_after"] - 1e-12).sum()) / (1 + len(shares))
            wanted = {"random_mean": shares.mean(), "random_low": shares.min(), "random_high": shares.max()}
            for column, value in wanted.items():
                found.number(f"{what}, {row['scope']}, {column}", row[column], value, slack)
            found.number(f"{what}, {row['scope']} {row['group']}, p", row["p"], p, float(slack > 0))
    report.line(f"repair {kind}: what heads were chosen by", furthest, 1e-6)
    report.accuracies(f"repair {kind}: accuracies, intervals, random sets", found)

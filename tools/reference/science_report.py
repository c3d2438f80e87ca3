"""What the checks of `science.py` are written with: a report, and accuracies over scopes with the images of which rounding decides."""

from dataclasses import dataclass

import numpy as np
import torch

from zeroshot import UNDECIDED


class Report:
    """Prints a line for each check, and knows whether one failed."""

    def __init__(self) -> None:
        self.failed, self.undecided = 0, set()

    def line(self, what: str, difference: float, tolerance: float) -> None:
        is_wrong = not difference <= tolerance
        self.failed += is_wrong
        print(f"{what:58} {difference:20.1e} {tolerance:10.0e}{'  WRONG' if is_wrong else ''}", flush=True)

    def equal(self, what: str, one: object, other: object) -> None:
        self.failed += one != other
        print(f"{what:58} {'equal' if one == other else 'differ':>20} {'equal':>10}{'' if one == other else f'  WRONG: {one}, {other}'}", flush=True)

    def accuracies(self, what: str, found: "Accuracies") -> None:
        is_wrong = bool(found.wrong) or not found.compared
        self.failed += is_wrong
        self.undecided |= found.undecided
        label = f"{what}, {found.compared} figures"
        print(f"{label:58} {f'{len(found.wrong)} differ':>20} {'equal':>10}{'  WRONG' if is_wrong else ''}", flush=True)
        for wrong in found.wrong[:10]:
            print(f"    {wrong}")

    def end(self) -> int:
        named = ", ".join(sorted(self.undecided)[:20]) or "none"
        print(f"\n{len(self.undecided)} images have a margin below {UNDECIDED:g} somewhere: {named}")
        print(f"{self.failed} checks failed" if self.failed else "all checks hold")
        return int(self.failed > 0)


def wilson(share: float, n: int) -> tuple[float, float]:
    z = 1.959963984540054
    centre, width = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return (centre - width) / (1 + z * z / n), (centre + width) / (1 + z * z / n)


@dataclass
class Outcome:
    """Which images are right, and of which rounding decides, `[n]` or `[draws, n]`."""

    right: np.ndarray
    close: np.ndarray


def outcome(scores: torch.Tensor, labels: torch.Tensor) -> Outcome:
    top = scores.topk(2, dim=1)
    margins = top.values[:, 0] - top.values[:, 1]
    return Outcome((top.indices[:, 0] == labels).numpy(), (margins < UNDECIDED).numpy())


def together(outcomes: list[Outcome]) -> Outcome:
    return Outcome(np.stack([one.right for one in outcomes]), np.stack([one.close for one in outcomes]))


class Accuracies:
    """Compares accuracies of scopes over the images of `keep`, and counts what differs."""

    def __init__(self, ids: list[str], keep: torch.Tensor, groups: list[str], labels: torch.Tensor, classes: list[str]) -> None:
        self.ids, self.compared, self.wrong, self.undecided = np.array(ids), 0, [], set()
        keep, labels, of = keep.numpy(), labels.numpy(), np.array(groups)
        self.masks = {("all", None): keep[None]}
        self.masks |= {("class", name): (keep & (labels == place))[None] for place, name in enumerate(classes)}
        present = [keep & (of == name) for name in sorted(set(groups)) if (keep & (of == name)).any()]
        self.masks |= {("group", name): (keep & (of == name))[None] for name in set(groups)}
        self.masks["worst_group", None] = np.stack(present)

    def number(self, what: str, found: float | None, wanted: float | None, slack: float = 0.0) -> None:
        self.compared += 1
        same = found is wanted if found is None or wanted is None else abs(found - wanted) <= slack + 1e-9
        if not same:
            self.wrong.append(f"{what}: {found}, {wanted} in PyTorch")

    def share(self, row: dict, of: Outcome) -> tuple[np.ndarray, float, np.ndarray]:
        """Accuracy in the scope of a row, of each draw, how far rounding may move it, and the number of images."""
        name = {"class": row.get("class_id"), "group": row.get("group")}.get(row["scope"])
        masks = self.masks[row["scope"], name]
        counts = masks.sum(1)
        shares = of.right.astype(np.float64) @ masks.T / counts
        worst = shares.argmin(-1)
        close = of.close & masks.any(0)
        slack = 0.0
        if close.any():
            slack = float((close.astype(np.float64) @ masks.T / counts).max())
            self.undecided |= set(self.ids[close.any(0) if close.ndim > 1 else close])
        return np.take_along_axis(shares, worst[..., None], -1)[..., 0], slack, counts[worst]

    def row(self, what: str, row: dict, before: Outcome, after: Outcome) -> None:
        what = f"{what}, {row['scope']} {row.get('class_id') or row.get('group') or ''}"
        share, slack, images = self.share(row, after)
        self.number(f"{what}, images", row["n"], int(images), len(self.ids) if slack else 0)
        self.number(what, row["accuracy_after"], share, slack)
        for bound, wanted in zip(("ci_low", "ci_high"), wilson(float(share), int(images))):
            self.number(f"{what}, {bound}", row[bound], wanted, 2 * slack)
        share, slack, _ = self.share(row, before)
        self.number(f"before {what}", row["accuracy_before"], share, slack)

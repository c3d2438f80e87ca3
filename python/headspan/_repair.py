"""Spurious cues: the command ``repair``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headspan import _native
from headspan._frame import Frame
from headspan._place import PathLike, Place, place_of
from headspan._program import of_run
from headspan._progress import Progress

if TYPE_CHECKING:
    from headspan._run import Run


@dataclass(frozen=True, repr=False)
class Repaired:
    """Accuracy of each group of images before and after heads are removed that bring a spurious cue in."""

    #: Name of the run.
    run: str
    #: What tells the classes apart: ``"zeroshot"`` or ``"learned"``.
    classifier: str
    #: A row a choice of heads, replacement and scope (``all``, ``worst_group``, ``group``), with the columns of ``repair.parquet``.
    repair: list[dict[str, Any]]
    #: ``repair.parquet``.
    table: Place

    @property
    def frame(self) -> Frame:
        """``repair.parquet`` as a frame."""
        return Frame(_native.read_table(self.table))

    def __repr__(self) -> str:
        rows = [row for row in self.repair if row["scope"] == "worst_group"]
        told = [
            f"{row['choice']}, {row['target']} ({', '.join(row['heads']) or 'no head'}): worst group "
            f"{row['accuracy_before']:.3f} to {row['accuracy_after']:.3f}"
            for row in rows
        ]
        return "\n".join([f"<headspan.Repaired of {self.run}>", *told])


def repair(
    run: Run,
    *,
    heads: str | Sequence[str] | None = None,
    by_ablation: bool = False,
    text: str | Sequence[str] | None = None,
    count: int = 4,
    group: str | Sequence[str] | None = None,
    groups: PathLike | None = None,
    cue: str | None = None,
    test: tuple[str, str | int] | None = None,
    learn: bool = False,
    class_: str | None = None,
    correlation: float | None = None,
    replace: str | Sequence[str] | None = None,
    templates: PathLike | Literal["default", "openai"] | None = None,
    permutations: int = 1000,
    seed: int = 0,
    progress: Progress = False,
) -> Repaired:
    """Measures the accuracy of the worst group before and after heads are removed that bring a spurious cue in, beside as many random heads.

    Means and choices come from one part of the images, accuracy from the other.

    :param heads: A property such as ``"backgrounds"``, or heads such as ``"L3.H5,L3.H6"``; several are sets of their own.
    :param by_ablation: Also choose the heads whose ablation raises the accuracy of the worst group most; so it is if nothing else chooses.
    :param text: Also choose the heads that vary most along this text, or along several texts that differ in the cue alone.
    :param count: Number of heads that texts choose, and maximum that ablation chooses.
    :param group: Column with the groups of the images, or several; default: each class with each value of the cue, or the column ``group``.
    :param groups: Table of all columns that are named here; default: the manifest of the run.
    :param cue: Column with the cue.
    :param test: Column and value of the images that give accuracy, such as ``("split", 2)``; default: two halves by image id.
    :param learn: Classify by the nearest mean representation of the classes, learned from the images, and not by the classes' texts.
    :param class_: Column with the classes that are learned; default: the classes of the images.
    :param correlation: Share of each class's weight, in learning, that images have whose cue is the class; default: images weigh the same.
    :param replace: What takes the heads' place: ``"mean"`` (default), ``"zero"``, or a factor such as ``"scale:0.5"``.
    :param templates: As for :func:`zeroshot`; default: as it made them.
    :param permutations: Random sets of as many heads.
    :param seed: Of the halves and of the random sets.
    """
    given = {
        "heads": heads,
        "by_ablation": by_ablation,
        "text": text,
        "count": count,
        "group": group,
        "groups": groups,
        "cue": cue,
        "test": None if test is None else f"{test[0]}={test[1]}",
        "learn": learn,
        "class": class_,
        "correlation": correlation,
        "replace": replace,
        "templates": templates,
        "permutations": permutations,
        "seed": seed,
    }
    answer = of_run("repair", run.path, given, progress)
    return Repaired(table=place_of(answer.pop("table")), **answer)

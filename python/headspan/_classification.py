"""Zero-shot classification and ablations of a run: the commands ``zeroshot``, ``ablate`` and ``prune``."""

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
class Zeroshot:
    """The images of a run, classified by the names of their classes."""

    #: Name of the run.
    run: str
    #: Number of classes.
    classes: int
    #: Number of images.
    images: int
    #: Images that have none of the classes; no accuracy counts them.
    without_class: int
    #: A row a metric (``top1``, ``top5``) and scope (``all``, ``class``, ``group``, ``worst_group``): ``class_id``, ``group``, ``n``,
    #: ``accuracy``, ``ci_low``, ``ci_high``.
    accuracy: list[dict[str, Any]]
    #: ``classes.parquet``: names and embeddings.
    classes_table: Place
    #: ``zeroshot.parquet``: what each image was taken for.
    table: Place

    @property
    def frame(self) -> Frame:
        """``zeroshot.parquet`` as a frame, a row an image."""
        return Frame(_native.read_table(self.table))

    @property
    def class_frame(self) -> Frame:
        """``classes.parquet`` as a frame, a row a class."""
        return Frame(_native.read_table(self.classes_table))

    def __repr__(self) -> str:
        rows = [row for row in self.accuracy if row["scope"] in ("all", "worst_group")]
        told = ", ".join(
            f"{row['metric']} {row['accuracy']:.3f} ({row['scope'].replace('_', ' ')})" for row in rows
        )
        return f"<headspan.Zeroshot of {self.run}: {self.images} images, {self.classes} classes; {told}>"


@dataclass(frozen=True, repr=False)
class Ablations:
    """Zero-shot accuracy of a run without some heads."""

    #: Name of the run.
    run: str
    #: A row a target, replacement and scope, with the columns of ``ablations.parquet``.
    ablations: list[dict[str, Any]]
    #: A row a kind of directions and their number, with the columns of ``reconstruction.parquet``; empty unless it was asked for.
    reconstruction: list[dict[str, Any]]
    #: ``ablations.parquet``.
    table: Place
    #: ``reconstruction.parquet``, if it was asked for.
    reconstruction_table: Place | None

    @property
    def frame(self) -> Frame:
        """``ablations.parquet`` as a frame."""
        return Frame(_native.read_table(self.table))

    @property
    def reconstruction_frame(self) -> Frame | None:
        """``reconstruction.parquet`` as a frame, if it was asked for."""
        return (
            None
            if self.reconstruction_table is None
            else Frame(_native.read_table(self.reconstruction_table))
        )

    def plot(self, axes: Any = None) -> Any:
        """Accuracy against the number of directions that heads may speak along, one curve a kind of directions. Returns the matplotlib axes."""
        from headspan import _plots

        return _plots.reconstruction(self.reconstruction, axes)

    def __repr__(self) -> str:
        rows = [row for row in self.ablations if row["scope"] == "all" and row["kind"] != "random"]
        return f"<headspan.Ablations of {self.run}: {len(rows)} ablations, {len(self.reconstruction)} reconstructions>"


@dataclass(frozen=True, repr=False)
class Pruned:
    """Zero-shot accuracy of a run with heads scaled in the forward pass."""

    #: Name of the run.
    run: str
    #: Images that went through the model.
    images: int
    #: A row a set of heads and scope, with the columns of ``pruning.parquet``.
    pruned: list[dict[str, Any]]
    #: ``pruning.parquet``.
    table: Place
    #: The checkpoint with the heads scaled, if it was asked for.
    saved: Place | None

    @property
    def frame(self) -> Frame:
        """``pruning.parquet`` as a frame."""
        return Frame(_native.read_table(self.table))

    def __repr__(self) -> str:
        rows = [row for row in self.pruned if row["scope"] == "all"]
        told = [f"{row['target']}: {row['accuracy_before']:.3f} to {row['accuracy_after']:.3f}" for row in rows]
        return "\n".join([f"<headspan.Pruned of {self.run}, {self.images} images>", *told])


def zeroshot(
    run: Run,
    *,
    classes: PathLike | None = None,
    templates: PathLike | Literal["default", "openai"] | None = None,
    group: str | Sequence[str] | None = None,
    groups: PathLike | None = None,
    progress: Progress = False,
) -> Zeroshot:
    """Classifies the images of a run by the names of their classes, without training. What is up to date is read.

    :param classes: File of the classes, ``id,name`` a line; default: the class file of the data set, else the classes of its images.
    :param templates: Texts of a class: ours, OpenAI's 80, or a file with one a line, ``{}`` for the name.
    :param group: Column with the groups of the images, or several, for combinations of their values.
    :param groups: Table of the groups; default: the manifest of the run.
    """
    given = {"classes": classes, "templates": templates, "group": group, "groups": groups}
    answer = of_run("zeroshot", run.path, given, progress)
    classes_table, table = place_of(answer.pop("classes_table")), place_of(answer.pop("table"))
    return Zeroshot(classes_table=classes_table, table=table, **answer)


def ablate(
    run: Run,
    *,
    kind: Literal["heads", "properties", "layers", "rest", "none"] | Sequence[str] | None = None,
    heads: str | Sequence[str] | None = None,
    replace: str | Sequence[str] | None = None,
    classes: PathLike | None = None,
    templates: PathLike | Literal["default", "openai"] | None = None,
    group: str | Sequence[str] | None = None,
    groups: PathLike | None = None,
    permutations: int | None = None,
    reconstruct: bool = False,
    draws: int | None = None,
    seed: int | None = None,
    progress: Progress = False,
) -> Ablations:
    """Measures zero-shot accuracy without some heads, of their direct effect. Means come from one half of the images, accuracy from the other.

    :param kind: What is ablated; default: every single head, the heads of each property, the layers cumulatively, and all but the heads.
    :param heads: Heads that are also ablated together, such as ``["L3.H5", "L3.H6"]``, or a property.
    :param replace: What takes their place: ``"mean"`` (default), ``"zero"``, or a factor such as ``"scale:0.5"``.
    :param classes: As for :func:`zeroshot`; default: as it made them.
    :param templates: As for :func:`zeroshot`; default: as it made them.
    :param group: Column with the groups of the images, or several.
    :param groups: Table of the groups; default: the manifest of the run.
    :param permutations: Random sets of as many heads that a property or a list is compared with; default 1,000.
    :param reconstruct: Also project each head's output onto its first k texts, random texts, and principal directions.
    :param draws: Draws of random texts; default 5.
    :param seed: Of the halves and of all draws; default 0.
    """
    given = {
        "kind": kind,
        "heads": heads,
        "replace": replace,
        "classes": classes,
        "templates": templates,
        "group": group,
        "groups": groups,
        "permutations": permutations,
        "reconstruct": reconstruct,
        "draws": draws,
        "seed": seed,
    }
    answer = of_run("ablate", run.path, given, progress)
    curve = answer.pop("reconstruction_table")
    table = place_of(answer.pop("table"))
    return Ablations(table=table, reconstruction_table=None if curve is None else place_of(curve), **answer)


def prune(
    run: Run,
    *,
    heads: str | Sequence[str] | None = None,
    ccs: int | str | Sequence[int | str] | None = None,
    factor: float = 0.0,
    templates: PathLike | Literal["default", "openai"] | None = None,
    group: str | Sequence[str] | None = None,
    groups: PathLike | None = None,
    limit: int | None = None,
    random: int = 0,
    seed: int = 0,
    save: PathLike | None = None,
    progress: Progress = False,
) -> Pruned:
    """Measures zero-shot accuracy with heads scaled in the forward pass, of their total effect: the images go through the model again.

    :param heads: Heads that are scaled together, such as ``["L3.H5", "L3.H6"]``, or a property.
    :param ccs: Heads with this number of consistent texts, such as ``5`` or ``"0-1"``, or several, each a set of its own.
    :param factor: What their outputs are multiplied by; 0 removes them.
    :param templates: As for :func:`zeroshot`; default: as it made them.
    :param group: Column with the groups of the images, or several.
    :param groups: Table of the groups; default: the manifest of the run.
    :param limit: Most images, spread evenly over the run's; default: all.
    :param random: Random sets of as many heads beside each set.
    :param seed: Of the random sets.
    :param save: Folder for a checkpoint with the heads scaled, which OpenCLIP loads.
    """
    given = {
        "heads": heads,
        "ccs": ccs,
        "factor": factor,
        "templates": templates,
        "group": group,
        "groups": groups,
        "limit": limit,
        "random": random,
        "seed": seed,
        "save": save,
    }
    answer = of_run("prune", run.path, given, progress)
    table, saved = place_of(answer.pop("table")), answer.pop("saved")
    return Pruned(table=table, saved=None if saved is None else place_of(saved), **answer)

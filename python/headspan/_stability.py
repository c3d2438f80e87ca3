"""How stable texts and labels are: the command ``stability``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headspan import _native
from headspan._errors import InputError
from headspan._frame import Frame
from headspan._place import Place, parts_of_run, place_of
from headspan._program import of_run
from headspan._run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, repr=False)
class Stability:
    """Whether texts and labels of a run would come out the same again."""

    #: The run, as ``DATASET/MODEL``.
    run: str
    #: A row a figure: ``kind`` (``"halves"``, ``"run"``, ``"runs"``, ``"labellers"``), ``compared``, ``head`` (None for the mean), ``metric``
    #: (``"jaccard"``, ``"same_property"``, ``"krippendorff_alpha"``, ``"kappa_texts"``, ``"kappa_names"``), ``value``, ``interval``, ``n``.
    figures: list[dict[str, Any]]
    #: ``stability.parquet``; its address as text if the run lies in a store.
    table: Place

    @property
    def frame(self) -> Frame:
        """``stability.parquet`` as a frame, a row a figure."""
        return Frame(_native.read_table(self.table))

    def __repr__(self) -> str:
        means = [row for row in self.figures if row["head"] is None and row["value"] is not None]
        lines = [f"{row['kind']} ({row['compared']}): {row['metric']} {row['value']:.3f}" for row in means]
        return "\n".join([f"<headspan.Stability of {self.run}>", *lines])


def stability(
    run: Run, *, splits: int = 10, seed: int = 0, against: Run | Sequence[Run] | None = None
) -> Stability:
    """Measures how stable the first texts and the labels of a run are, and writes ``stability.parquet`` into it.

    :param splits: Random splits of the images into halves; 0 leaves the halves out.
    :param seed: Of the splits.
    :param against: Other runs of the same heads, such as with another pool, other prompts, another language model or temperature.
    """
    others = [] if against is None else [against] if isinstance(against, Run) else list(against)
    names = []
    for other in others:
        other_runs, other_dataset, other_model = parts_of_run(other.path)
        runs, _, _ = parts_of_run(run.path)
        if runs != other_runs:
            raise InputError(f"runs of two folders cannot be compared: {runs} and {other_runs}")
        names.append(f"{other_dataset}/{other_model}")
    answer = of_run("stability", run.path, {"splits": splits, "seed": seed, "with": names})
    return Stability(table=place_of(answer.pop("table")), **answer)

"""Heads from weights alone: the command ``weights``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headspan import _native
from headspan._frame import Frame
from headspan._place import Place, place_of
from headspan._program import of_run

if TYPE_CHECKING:
    from headspan._run import Run


@dataclass(frozen=True, repr=False)
class HeadWeights:
    """The directions in which each head can write, from its readout alone."""

    #: The run, as ``DATASET/MODEL``.
    run: str
    #: The labeller whose properties are compared; None without labels.
    labeller: str | None
    #: A row a head: ``head``, ``property``, ``spectrum`` (singular values), ``participation``, ``directions`` (each with ``share``, ``flipped``, ``fidelity``,
    #: ``category``, ``texts``), ``texts_shared``, ``span_share``, ``span_share_by_chance``, ``same_property``.
    heads: list[dict[str, Any]]
    #: ``weights.parquet``; its address as text if the run lies in a store.
    table: Place

    @property
    def frame(self) -> Frame:
        """``weights.parquet`` as a frame, a row a direction."""
        return Frame(_native.read_table(self.table))

    def __repr__(self) -> str:
        lines = [f"<headspan.HeadWeights of {self.run}>"]
        for head in self.heads:
            first = head["directions"][0] if head["directions"] else {"texts": []}
            lines.append(f"{head['head']}: " + " · ".join(text["text"] for text in first["texts"][:3]))
        return "\n".join(lines)


def weights(run: Run, *, directions: int = 5, texts: int = 5, labeller: str | None = None) -> HeadWeights:
    """Names the directions in which each head can write by sparse sums of texts, from weights alone, and writes ``weights.parquet`` into the run.

    :param directions: Directions that are named per head.
    :param texts: Most texts of a direction.
    :param labeller: Whose properties are compared; default: the first by name.
    """
    given = {"directions": directions, "texts_per_direction": texts, "labeller": labeller}
    answer = of_run("weights", run.path, given)
    return HeadWeights(table=place_of(answer.pop("table")), **answer)

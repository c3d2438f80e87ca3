"""Two runs, head by head: the command ``diff``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headspan import _html, _native
from headspan._errors import InputError
from headspan._frame import Frame
from headspan._place import Place, parts_of_run, place_of
from headspan._program import call, flags

if TYPE_CHECKING:
    from headspan._run import Run


@dataclass(frozen=True, repr=False)
class Difference:
    """Two runs over the same images, head by head."""

    #: Name of the run before.
    before: str
    #: Name of the run after.
    after: str
    #: ``"position"`` or ``"assignment"``.
    pairing: str
    #: The labeller whose labels are compared; None if the runs have none in common.
    labeller: str | None
    #: Images whose activations both runs have.
    images: int
    #: A row a score: ``metric``, ``before``, ``after``, ``difference``, ``interval``, ``pairs``.
    scores: list[dict[str, Any]]
    #: A row a pair of heads: ``before`` and ``after`` (each with ``head``, ``texts``, ``property``, ``consistent``, ``variance_share``), ``cka``,
    #: ``cka_interval``, ``readout_cosine``, ``readout_overlap``, ``readout_angles`` in degrees, ``texts_kept``, ``property_kept``.
    heads: list[dict[str, Any]]
    #: Heads without a partner: before, and after.
    unpaired: list[list[str]]
    #: What the runs were made with differently, a sentence each.
    differences: list[str]
    #: ``diff.parquet``; its address as text if runs lie in a store.
    table: Place
    #: The report in HTML.
    page: Place

    @property
    def frame(self) -> Frame:
        """``diff.parquet`` as a frame, a row a pair."""
        return Frame(_native.read_table(self.table))

    def __repr__(self) -> str:
        return f"<headspan.Difference from {self.before} to {self.after}>\n{_html.difference_text(self.scores, self.heads)}"

    def _repr_html_(self) -> str:
        return _html.page(_html.difference(self.scores, self.heads, self.differences))


def diff(
    before: Run,
    after: Run,
    *,
    pair: Literal["position", "assignment"] | None = None,
    labeller: str | None = None,
) -> Difference:
    """Compares two runs over the same images head by head, and writes the report: what fine-tuning, a seed or another training changed.

    :param pair: How heads find each other: by position, or one to one so that the sum of CKA is largest, for models that were trained apart.
        Default: by position where both runs have the same heads.
    :param labeller: Whose labels are compared; default: the first by name that both runs have.
    """
    (runs, dataset, model), (other_runs, other_dataset, other_model) = (
        parts_of_run(run.path) for run in (before, after)
    )
    if runs != other_runs:
        raise InputError(f"runs of two folders cannot be compared: {runs} and {other_runs}")
    given = flags({"runs": runs, "pair": pair, "labeller": labeller})
    answer = json.loads(call(["diff", f"{dataset}/{model}", f"{other_dataset}/{other_model}", "--json", *given]))
    table, page = place_of(answer.pop("table")), place_of(answer.pop("page"))
    answer.pop("made_with")
    return Difference(table=table, page=page, **answer)

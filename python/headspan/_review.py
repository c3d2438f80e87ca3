"""How far people and labellers agree: the command ``review --table``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headspan._program import of_run

if TYPE_CHECKING:
    from headspan._run import Run


@dataclass(frozen=True, repr=False)
class Agreement:
    """How far the labellers of a run and the people who reviewed it agree."""

    #: The run, as ``DATASET/MODEL``.
    run: str
    #: A row every two and what they agree about: ``labellers``, ``about`` (``"texts"``, ``"names"``), ``heads``, ``n``, ``share``, ``kappa``, ``interval``.
    agreements: list[dict[str, Any]]
    #: A row a labeller: ``labeller``, ``judges``, ``heads``, ``value``, ``over_heads``, ``over_judges`` (intervals).
    associations: list[dict[str, Any]]

    def __repr__(self) -> str:
        lines = [f"<headspan.Agreement of {self.run}>"]
        for row in self.agreements:
            kappa = "n/a" if row["kappa"] is None else f"{row['kappa']:.2f}"
            lines.append(f"{', '.join(row['labellers'])}, {row['about']}: kappa {kappa}, {row['share']:.0%} of {row['n']} the same")
        return "\n".join(lines)


def agreement(run: Run) -> Agreement:
    """Compares the labellers of a run and the people who reviewed it in the explorer (``headspan review``): Cohen's kappa of every two, and association
    with the disagreement of all judges in its interval. Nothing is written."""
    return Agreement(**of_run("review", run.path, {"table": True}))

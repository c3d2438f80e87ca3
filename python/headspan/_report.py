"""A report of runs for people and for papers: the command ``report``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headspan._errors import InputError
from headspan._place import parts_of_run
from headspan._program import call, flags
from headspan._run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike


@dataclass(frozen=True)
class Report:
    """Pages on disk, with the data of every table and figure beside them."""

    #: The page over all runs.
    index: Path
    #: The page of each run.
    pages: list[Path]
    #: ``main.tex``, if a paper was asked for.
    paper: Path | None


def report(runs: Run | Sequence[Run], out: str | PathLike[str] | None = None, *, paper: bool = False) -> Report:
    """Writes a page for each run and one over all: tables, figures as SVG, their data as CSV.

    A section is made from a table of the run; the page says which command measures what is missing.

    :param runs: Runs of one data set.
    :param out: Folder of the report; by default ``report`` beside the runs.
    :param paper: Also writes LaTeX tables (booktabs) and figures (pgfplots), and ``main.tex``, which includes all of them.
    """
    places = [parts_of_run(run.path) for run in ([runs] if isinstance(runs, Run) else runs)]
    folders = sorted({folder for folder, _, _ in places})
    if len(folders) != 1:
        raise InputError(f"a report is of runs in one folder, and these lie in {len(folders)}: {', '.join(folders)}")
    names = [f"{dataset}/{model}" for _, dataset, model in places]
    answer = json.loads(call(["report", *names, "--json", *flags({"runs": folders[0], "out": out, "paper": paper})]))
    pages = [Path(page) for page in answer["pages"]]
    return Report(Path(answer["index"]), pages, None if answer["paper"] is None else Path(answer["paper"]))

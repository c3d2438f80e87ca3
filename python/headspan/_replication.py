"""Published figures beside measured ones: the command ``replicate``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headspan._place import PathLike
from headspan._program import assignments, call, flags
from headspan._progress import Progress


@dataclass(frozen=True, repr=False)
class Replication:
    """What a paper published, and what was measured."""

    #: Name of the paper.
    paper: str
    #: Its title.
    title: str
    #: Where it can be read.
    source: str
    #: A row a figure: ``table``, ``place``, ``from``, ``row``, ``column``, ``unit``, ``data``, ``model``, ``published`` (or ``published_low`` and
    #: ``published_high``), ``command``, ``run``, ``measured``, ``ci_low``, ``ci_high``, ``n``, ``differs`` (differences in definition) and
    #: ``not_measured`` (why not; of a dry run, what would be done).
    figures: list[dict[str, Any]]
    #: By run, what it was made with otherwise than the paper's runs.
    differences: dict[str, list[str]]
    #: What is not known of the paper.
    not_known: list[str]

    def __repr__(self) -> str:
        done = [row for row in self.figures if row["measured"] is not None]
        lines = [f"{row['table']}, {row['row']}, {row['column']}: {_published(row)}, here {row['measured']:.4g}" for row in done]
        return "\n".join([f"<headspan.Replication of {self.paper}: {len(done)} of {len(self.figures)} figures measured>", *lines])


def _published(row: dict[str, Any]) -> str:
    if row["published"] is not None:
        return f"{row['published']:g}"
    return f"{row['published_low']:g} to {row['published_high']:g}"


def replicate(
    paper: PathLike,
    *,
    images: PathLike | Mapping[str, PathLike] | None = None,
    classes: PathLike | Mapping[str, PathLike] | None = None,
    runs: PathLike | None = None,
    dry_run: bool = False,
    limit: int | None = None,
    texts: PathLike | None = None,
    device: str | None = None,
    labeller: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = False,
) -> Replication:
    """Measures the figures that a paper published: brings the runs up to date that have images, then asks what the figures need.

    :param paper: Name of a paper (``"2310.05916"``, ``"2409.06579"``, ``"2503.11103"``), or the file of one of your own, which ends in ``.toml``.
    :param images: Images of the paper's first data set, or by data set; without images, runs must be there already.
    :param classes: Class file of the first data set, or by data set.
    :param runs: Folder of all runs.
    :param dry_run: Say what would run, and run nothing.
    :param limit: Most images of each data set.
    :param texts: Pool of descriptions.
    :param device: ``"cpu"``, ``"wgpu"``, ``"cuda"`` or ``"auto"``.
    :param labeller: Who labels heads, in place of the paper's.
    :param settings: Further settings.
    """
    given = {
        "images": _by_data(images),
        "classes": _by_data(classes),
        "runs": runs,
        "dry_run": dry_run,
        "limit": limit,
        "texts": texts,
        "device": device,
        "labeller": labeller,
    }
    command = ["replicate", str(paper), "--json", *flags(given), *assignments(settings)]
    answer: dict[str, Any] = json.loads(call(command, progress))
    return Replication(**answer)


def _by_data(places: PathLike | Mapping[str, PathLike] | None) -> PathLike | list[str] | None:
    if isinstance(places, Mapping):
        return [f"{name}={place}" for name, place in places.items()]
    return places

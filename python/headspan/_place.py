"""Places: paths of this machine, and addresses of stores, which ``pathlib`` would take apart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Union

PathLike = Union[str, "os.PathLike[str]"]
#: A path, or the text of an address.
Place = Union[Path, str]


def is_address(place: PathLike) -> bool:
    """Whether a place lies in a store, such as ``s3://bucket/runs``."""
    return "://" in os.fspath(place)


def place_of(text: PathLike) -> Place:
    """An address as its text, anything else as a path."""
    return os.fspath(text) if is_address(text) else Path(text)


def below(place: PathLike, *names: str) -> Place:
    """What lies at some names below a place."""
    if is_address(place):
        return "/".join([os.fspath(place).rstrip("/"), *names])
    return Path(place).joinpath(*names)


def parts_of_run(run: PathLike) -> tuple[str, str, str]:
    """The folder of all runs, the data set and the model that a run's place ends with."""
    if is_address(run):
        runs, dataset, model = os.fspath(run).rstrip("/").rsplit("/", 2)
        return runs, dataset, model
    path = Path(run)
    return str(path.parent.parent), path.parent.name, path.name

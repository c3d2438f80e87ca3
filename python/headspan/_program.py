"""Commands from Python: keyword arguments become flags, so that both are checked by the same code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headspan import _native
from headspan._errors import InputError
from headspan._place import PathLike, parts_of_run
from headspan._progress import Bars, Progress, told


def flags(values: Mapping[str, Any]) -> list[str]:
    """Flags of the command line: None is left out, True is the flag alone, lists repeat it."""
    found: list[str] = []
    for name, value in values.items():
        flag = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            found.append(flag)
        elif isinstance(value, (list, tuple)):
            for one in value:
                found += [flag, _text(one)]
        else:
            found.append(f"{flag}={_text(value)}")
    return found


def _text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        path: str = os.fspath(value)
        return path
    return str(value)


def assignments(settings: Mapping[str, Any] | None, prefix: str = "") -> list[str]:
    """Settings of a (nested) mapping as ``--set key=value``, the value in TOML."""
    found: list[str] = []
    for key, value in (settings or {}).items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found += assignments(value, f"{name}.")
        elif value is not None:
            found.append(f"--set={name}={toml(name, value)}")
    return found


def toml(name: str, value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, os.PathLike)):
        # A JSON string is a TOML string, but for characters beyond the basic plane, which need no escape here.
        return json.dumps(os.fspath(value), ensure_ascii=False)
    if isinstance(value, Iterable):
        return "[" + ", ".join(toml(name, one) for one in value) + "]"
    raise InputError(f"the setting `{name}` is of type {type(value).__name__}, expected text, a number, a bool or a list")


def of_run(command: str, run: PathLike, given: Mapping[str, Any], progress: Progress = False) -> dict[str, Any]:
    """What a command about one run answers in JSON; ``run`` is the run's place."""
    runs, dataset, model = parts_of_run(run)
    answer: dict[str, Any] = json.loads(
        call([command, model, "--json", *flags({"runs": runs, "dataset": dataset, **given})], progress)
    )
    return answer


def call(command: Sequence[str], progress: Progress = False) -> str:
    """Runs a command and returns what it answers."""
    if progress is False:
        return _native.call(list(command))
    if progress is True:
        bars = Bars()
        try:
            return _native.call(list(command), bars)
        finally:
            bars.close()
    return _native.call(list(command), told(progress))

"""What the checks beside this file have in common: cases that are tried one after another, and sentences where one does not hold."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

World = TypeVar("World")


class Failed(Exception):
    """Something that must hold did not."""


def must(holds: bool, what: str) -> None:
    """Ends the case with a sentence if something does not hold."""
    if not holds:
        raise Failed(what)


def tried(
    prefix: str,
    world: Callable[[Path], AbstractContextManager[World]],
    cases: Mapping[str, Callable[[World], str]],
    names: str,
    keep: bool,
    after: Callable[[World], object] = lambda _world: None,
) -> int:
    """Tries the named cases, each of which says what it saw, in a new folder, which stays if asked or if something failed. ``after``
    looks at what must hold after each.

    Gives the exit code: 1 if anything did not hold.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    failed = False
    try:
        with world(folder) as made:
            for name in names.split(","):
                started = time.monotonic()
                try:
                    said = cases[name](made)
                    after(made)
                    print(f"{name}: {said}; {time.monotonic() - started:.0f} s", flush=True)
                except Failed as error:
                    failed = True
                    print(f"{name}: FAILED: {error}", flush=True)
    except Failed as error:
        failed = True
        print(f"FAILED: {error}", flush=True)
    finally:
        if keep or failed:
            print(f"kept {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return int(failed)

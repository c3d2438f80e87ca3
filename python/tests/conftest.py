"""The demo, run once for all tests, and the command line to compare with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headspan

CommandLine = Callable[..., str]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with the demo in it."""
    folder = tmp_path_factory.mktemp("runs")
    headspan.run_all(runs=folder, progress=False)
    return folder


@pytest.fixture(scope="session")
def run(runs: Path) -> headspan.Run:
    """The demo's first run."""
    return headspan.open(runs / "scenes" / "scenes-4")


@pytest.fixture(scope="session")
def demo(runs: Path) -> list[headspan.Run]:
    """Both runs of the demo."""
    return [headspan.open(runs / "scenes" / name) for name in ("scenes-4", "scenes-6")]


@pytest.fixture(scope="session")
def command_line(runs: Path) -> CommandLine:
    """The command line on the demo's runs, in a process of its own: what it prints."""

    def call(*arguments: str | os.PathLike[str]) -> str:
        command = [sys.executable, "-m", "headspan", "--quiet", *map(os.fspath, arguments)]
        command += ["--runs", str(runs), "--dataset", "scenes"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture(scope="session")
def answer(command_line: CommandLine) -> Callable[..., Any]:
    """The command line's answer as JSON."""

    def call(*arguments: str | os.PathLike[str]) -> Any:
        return json.loads(command_line(*arguments, "--json"))

    return call

"""The program headspan as the checks beside this file call it: in one folder, with one environment."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cases import Failed, must

# Arguments of a command.
Words = list["str | Path | int"]
# Longest wait for a process; a machine under load is slow, and nothing here depends on when things happen.
SECONDS = 600


def own_environment(*others: str) -> dict[str, str]:
    """The caller's environment without its settings and its clouds, and without other names that begin with these words."""
    left_out = ("AWS_", "HEADSPAN", *others)
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


class Program:
    """The program, and what it has said."""

    def __init__(self, path: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self.path, self.folder, self.environment = path, folder, dict(environment)
        self.said: list[str] = []

    def start(
        self,
        *arguments: str | Path | int,
        variables: Mapping[str, str] | None = None,
        program: Path | None = None,
    ) -> subprocess.Popen[str]:
        """Starts the program, or another one in its place, with more variables in its environment."""
        words = [str(program or self.path), *(str(argument) for argument in arguments)]
        return subprocess.Popen(
            words,
            env={**self.environment, **(variables or {})},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self, process: subprocess.Popen[str]) -> tuple[str, str, int]:
        """What a process printed, and its exit code."""
        try:
            stdout, stderr = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            raise Failed(f"{named(process)} did not end in {SECONDS} s:\n{stderr}") from None
        self.said += [stdout, stderr]
        return stdout, stderr, process.returncode

    def end(self, process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
        """What a process printed, which must end with this code."""
        stdout, stderr, ended = self.ended(process)
        must(ended == code, f"{named(process)} ended with {ended}:\n{stderr}")
        return stdout, stderr

    def call(
        self, *arguments: str | Path | int, variables: Mapping[str, str] | None = None, code: int = 0
    ) -> str:
        """Stdout of the program, which must end with this code."""
        return self.end(self.start(*arguments, variables=variables), code)[0]


def named(process: subprocess.Popen[str]) -> str:
    """The first words of what was called."""
    return " ".join(list(process.args)[1:4])[:80]  # type: ignore[arg-type]


def tables(folder: Path) -> dict[str, bytes]:
    """The tables below a folder by their names."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Waits for something that must come."""
    until = time.monotonic() + SECONDS
    while not holds():
        must(time.monotonic() < until, f"waited in vain for {what}")
        time.sleep(0.05)

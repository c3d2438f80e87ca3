"""One process of the program, and what it took: wall time, processor time and peak resident memory of that process alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Used:
    """What a process took."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def run(what: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> Used:
    """Runs a process, which must succeed.

    >>> used = run("nothing", [sys.executable, "-c", ""])
    >>> used.peak_mib > 1, used.cpu_seconds < 60
    (True, True)
    """
    with tempfile.TemporaryFile() as log:
        started = time.monotonic()
        process = subprocess.Popen(list(words), stdout=subprocess.DEVNULL, stderr=log, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            said = log.read().decode(errors="replace")[-4000:]
            sys.exit(f"{what} ended with {process.returncode}:\n{said}")
    return Used(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

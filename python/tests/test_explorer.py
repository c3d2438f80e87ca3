"""The explorer beside a notebook: it answers, and it never stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import headspan


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that has ended and was not waited for is still listed.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def ends(pid: int, seconds: float = 30) -> bool:
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        if not is_alive(pid):
            return True
        time.sleep(0.05)
    return False


def test_it_answers_and_stops(demo: list[headspan.Run]) -> None:
    with demo[0].explore(height=300) as explorer:
        assert explorer.running and explorer.url.startswith("http://127.0.0.1:")
        page = urllib.request.urlopen(explorer.url, timeout=30).read().decode()
        assert "scenes-4" in page and "scenes-6" in page
        html = explorer._repr_html_()
        assert explorer.url in html and ("<iframe" in html) == explorer.framed
        pid = explorer._process.pid
    assert not explorer.running and ends(pid)
    assert "stopped" in repr(explorer) and "stopped" in explorer._repr_html_()
    explorer.stop()


def test_an_explorer_that_does_not_start_says_why(demo: list[headspan.Run]) -> None:
    run = headspan.open(demo[0].path)
    run.sources = {"device": "abacus"}
    with pytest.raises(headspan.HeadspanError, match="abacus"):
        run.explore()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_it_ends_with_its_process(demo: list[headspan.Run], end: str) -> None:
    script = f"""
import sys, headspan
explorer = headspan.open({str(demo[0].path)!r}).explore()
print(explorer._process.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdin is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    if end == "exit":
        parent.stdin.close()
    else:
        parent.send_signal(signal.SIGKILL)
    parent.wait(30)
    assert ends(pid), "the explorer stayed behind"

"""The explorer beside a notebook: a server on this machine, in a process of its own, and a frame that shows it."""

from __future__ import annotations

import atexit
import os
import queue
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from html import escape
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from headspan._errors import HeadspanError
from headspan._place import parts_of_run

if TYPE_CHECKING:
    from types import TracebackType

    from headspan._run import Run

# A notebook may have changed where it finds packages: the other process looks last where this package is.
_PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from headspan._beside import main; main()"
# For how long it may take to list the runs of a data set, and to answer.
_STARTED_SECS = 120.0
_ANSWERED_SECS = 30.0
_STOPPED_SECS = 10.0
# End of its log that stands in an error.
_LOG_BYTES = 2000


class Explorer:
    """The explorer of all finished runs of a data set, on an address of this machine alone.

    It ends with :meth:`stop`, at the end of a ``with`` block, or with this process, also where that is killed.
    """

    def __init__(self, run: Run, height: int = 720) -> None:
        self.height = height
        #: Name of the data set.
        self.dataset = parts_of_run(run.path)[1]
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, it stays open as long as the process
        self._process = _start(_arguments(run), self._log)
        # Bound to the process alone: an explorer that nobody holds stays, because its page may be open.
        self._owner = os.getpid()
        atexit.register(_stop, self._process, self._owner)
        try:
            #: Address of the explorer.
            self.url = self._address()
            #: Whether its pages may be shown in a frame.
            self.framed = _may_be_framed(self.url)
        except BaseException:
            self.stop()
            raise

    @property
    def running(self) -> bool:
        """Whether it still answers."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends it. A second call does nothing."""
        _stop(self._process, self._owner)

    def _address(self) -> str:
        line = _first_line(self._process, _STARTED_SECS)
        if line is None:
            raise HeadspanError(
                f"the explorer did not start within {_STARTED_SECS:.0f} seconds", self._said() or None
            )
        if not line.startswith("http"):
            raise HeadspanError(f"the explorer did not start: {self._said() or 'it said nothing'}")
        return line

    def _said(self) -> str:
        """The end of its log."""
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(self._log.tell() - _LOG_BYTES, 0))
        return self._log.read().decode(errors="replace").strip()

    def __enter__(self) -> Explorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"at {self.url}" if self.running else "stopped"
        return f"<headspan.Explorer of {self.dataset} {state}>"

    def _repr_html_(self) -> str:
        if not self.running:
            return f"<p>The explorer of {escape(self.dataset)} is stopped.</p>"
        url = escape(self.url, quote=True)
        link = f'<a href="{url}" target="_blank" rel="noopener">{url}</a>'
        if not self.framed:
            return f"<p>The explorer of {escape(self.dataset)} is at {link}.</p>"
        style = "border:1px solid rgba(128,128,128,.4);color-scheme:light dark"
        frame = f'<iframe src="{url}" width="100%" height="{self.height:d}" style="{style}"></iframe>'
        return f"<p>The explorer of {escape(self.dataset)}, also at {link}</p>{frame}"


def _arguments(run: Run) -> list[str]:
    runs, dataset, model = parts_of_run(run.path)
    arguments = ["explore", "--runs", runs, "--dataset", dataset]
    sources = {name: value for name, value in run.sources.items() if value is not None}
    if sources.keys() & {"checkpoint", "images"}:
        # A model and images that are elsewhere than the record says are those of this run alone.
        arguments.append(model)
    for name, value in sources.items():
        arguments += [f"--{name}", os.fspath(value)]
    return [*arguments, "--listen", "127.0.0.1:0", "--framed"]


def _start(arguments: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in a terminal, and "interrupt" in a notebook, end a computation and not the explorer.
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(Path(__file__).parents[1]), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
    )


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> str | None:
    """The first line of what a process answers, "" if it ends without one, None if it takes too long."""
    lines: queue.Queue[bytes] = queue.Queue()
    stdout = process.stdout
    if stdout is None:
        return None

    def read() -> None:
        lines.put(stdout.readline())
        # Nothing else is expected, but a full pipe would hold the process up.
        while stdout.read(4096):
            pass

    threading.Thread(target=read, name="headspan-explorer", daemon=True).start()
    try:
        return lines.get(timeout=seconds).decode(errors="replace").strip()
    except queue.Empty:
        return None


def _may_be_framed(url: str) -> bool:
    """Whether the explorer lets other pages show its own in a frame."""
    # Not through a proxy: the address is of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWERED_SECS) as answer:
            headers: Any = answer.headers
    except urllib.error.HTTPError as error:
        # With a token it asks for the token; its headers are the same.
        headers = error.headers
    policy = headers.get("Content-Security-Policy") or ""
    return headers.get("X-Frame-Options") is None and "frame-ancestors 'none'" not in policy


def _stop(process: subprocess.Popen[bytes], owner: int) -> None:
    # A process that was forked has the explorer's handle, but it is not its own.
    if os.getpid() != owner or process.poll() is not None:
        return
    if process.stdin is not None:
        # It ends when its input does.
        process.stdin.close()
    try:
        process.wait(_STOPPED_SECS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

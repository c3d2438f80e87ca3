"""A web server for files with range requests, fast enough not to be what is measured."""

from __future__ import annotations

import os
import re
from pathlib import Path

import loopback


class RangeServer(loopback.Loopback):
    """Serves a folder."""

    def __init__(self, folder: Path) -> None:
        class Handler(loopback.Handler):
            def do_GET(self) -> None:
                path = folder / self.path.lstrip("/")
                wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
                if not path.is_file() or wanted is None:
                    self.send_error(404 if wanted else 400)
                    return
                size, start = path.stat().st_size, int(wanted[1])
                end = min(int(wanted[2]) + 1, size)
                self.send_response(206)
                self.send_header("etag", f'"{path.stat().st_mtime_ns}-{size}"')
                self.send_header("content-range", f"bytes {start}-{end - 1}/{size}")
                self.send_header("content-length", str(end - start))
                self.end_headers()
                self.wfile.flush()
                with path.open("rb") as file:
                    while start < end:
                        start += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)

        super().__init__(Handler)

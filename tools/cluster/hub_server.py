"""A hub of data sets as programs meet it: pages of a list, addresses that lead to another server, a key that only the hub may see."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import loopback

# Files on one page of a list.
PAGE = 2


class Files(loopback.Loopback):
    """The server that has the bytes. Its tags of files are not those of the hub's lists."""

    def __init__(self, folder: Path) -> None:
        server = self
        self.keys: set[str | None] = set()

        class Handler(loopback.Handler):
            def do_GET(self) -> None:
                server.keys.add(self.headers.get("authorization"))
                path = folder / unquote(urlsplit(self.path).path.lstrip("/"))
                wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
                if not path.is_file() or wanted is None:
                    self.send_error(404 if wanted else 400)
                    return
                data = path.read_bytes()
                part = data[int(wanted[1]) : int(wanted[2]) + 1]
                self.send_response(206)
                self.send_header("etag", f'"{hashlib.sha256(data).hexdigest()}"')
                self.send_header("content-range", f"bytes {wanted[1]}-{int(wanted[1]) + len(part) - 1}/{len(data)}")
                self.send_header("content-length", str(len(part)))
                self.end_headers()
                self.wfile.write(part)

        super().__init__(Handler)


class Hub(loopback.Loopback):
    """The hub with one data set, whose files are those of a folder."""

    def __init__(self, name: str, folder: Path, files: Files, key: str) -> None:
        lists, resolves = f"/api/datasets/{name}/tree/main", f"/datasets/{name}/resolve/main/"

        class Handler(loopback.Handler):
            def do_GET(self) -> None:
                place = urlsplit(self.path)
                if self.headers.get("authorization") != f"Bearer {key}":
                    self.send_error(401)
                elif place.path.startswith(lists):
                    self.page(unquote(place.path.removeprefix(lists).strip("/")), parse_qs(place.query))
                elif place.path.startswith(resolves):
                    self.send_response(302)
                    self.send_header("location", f"{files.address}/{place.path.removeprefix(resolves)}?signature=1")
                    self.send_header("content-length", "0")
                    self.end_headers()
                else:
                    self.send_error(404)

            def page(self, below: str, query: dict[str, list[str]]) -> None:
                if not (folder / below).is_dir():
                    self.send_error(404)
                    return
                deep = query.get("recursive") == ["true"]
                found = sorted((folder / below).rglob("*") if deep else (folder / below).iterdir())
                first = int(query.get("cursor", ["0"])[0])
                body = json.dumps([entry(folder, path) for path in found[first : first + PAGE]]).encode()
                self.send_response(200)
                if first + PAGE < len(found):
                    again = f"{self.path.split('?')[0]}?recursive={str(deep).lower()}&cursor={first + PAGE}"
                    self.send_header("link", f'<http://{self.headers["host"]}{again}>; rel="next"')
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)


def entry(folder: Path, path: Path) -> dict[str, object]:
    """What a list says of a file: the identity of the pointer that the repository holds, not of the bytes."""
    name = os.fspath(path.relative_to(folder))
    if path.is_dir():
        return {"type": "directory", "oid": hashlib.sha1(name.encode()).hexdigest(), "size": 0, "path": name}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pointer = hashlib.sha1(digest.encode()).hexdigest()
    size = path.stat().st_size
    stored = {"oid": digest, "size": size, "pointerSize": 134}
    return {"type": "file", "oid": pointer, "size": size, "lfs": stored, "path": name}

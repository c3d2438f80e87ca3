"""An S3 server that holds everything in memory and answers in a tenth of a millisecond, so that 100,000 parts can be asked for.

    python3 tools/scale/small_store.py PORT LOG [LATENCY]

It knows what headspan asks for: HEAD, GET of ranges, PUT on conditions, DELETE, deletion of many, and listings of a thousand keys. It
checks no signatures, and has any bucket. Each request is a line of LOG, as the log of moto has it. With LATENCY, each answer waits so many
seconds, as those of a store over a network do; other requests are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
import re
import sys
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TextIO
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape, unescape

MOST_LISTED = 1000
Headers = dict[str, str]


@dataclass(frozen=True)
class Kept:
    """A file."""

    body: bytes
    etag: str
    modified: float


@dataclass(frozen=True)
class Answer:
    """What is sent back. The length may be that of a body that is not sent."""

    status: int
    body: bytes = b""
    headers: Headers = field(default_factory=dict)
    length: int | None = None

    def sent(self) -> bytes:
        length = len(self.body) if self.length is None else self.length
        head = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Content-Length: {length}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*head, "", ""]).encode() + self.body


def error(status: int, code: str) -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())


class Store:
    """Files by their keys, the bucket first, and all keys in order.

    >>> store = Store()
    >>> for key in ("b/r/x", "b/r/y/1", "b/r/y/2", "b/s"):
    ...     store.put(key, {}, key.encode()).status
    200
    200
    200
    200
    >>> store.put("b/r/x", {"if-none-match": "*"}, b"").status
    412
    >>> store.get("b/r/x", {"range": "bytes=2-3"}, whole=True).body
    b'r/'
    >>> found = store.listing("b", {"prefix": ["r/"], "delimiter": ["/"], "max-keys": ["1"]}).body.decode()
    >>> "<Key>r/x</Key>" in found, "<Prefix>r/y/</Prefix>" in found, "<IsTruncated>true<" in found
    (True, False, True)
    >>> found = store.listing("b", {"prefix": ["r/"], "delimiter": ["/"], "continuation-token": ["r/x"]}).body.decode()
    >>> "<Prefix>r/y/</Prefix>" in found, found.count("<Key>"), "<IsTruncated>false<" in found
    (True, 0, True)
    """

    def __init__(self) -> None:
        self.files: dict[str, Kept] = {}
        self.keys: list[str] = []

    def put(self, key: str, headers: Headers, body: bytes) -> Answer:
        there, still = self.files.get(key), headers.get("if-match")
        if headers.get("if-none-match") == "*" and there:
            return error(412, "PreconditionFailed")
        if still is not None and (there is None or there.etag != still):
            return error(412, "PreconditionFailed") if there else error(404, "NoSuchKey")
        if there is None:
            bisect.insort(self.keys, key)
        kept = self.files[key] = Kept(body, f'"{hashlib.md5(body).hexdigest()}"', time.time())
        return Answer(200, headers={"ETag": kept.etag})

    def copy(self, key: str, source: str) -> Answer:
        kept = self.files.get(source)
        if kept is None:
            return error(404, "NoSuchKey")
        put = self.put(key, {}, kept.body)
        return Answer(
            200, f"<CopyObjectResult><ETag>{kept.etag}</ETag></CopyObjectResult>".encode(), put.headers
        )

    def get(self, key: str, headers: Headers, whole: bool) -> Answer:
        """A file or a range of it; without ``whole`` only what it is."""
        kept = self.files.get(key)
        if kept is None:
            return error(404, "NoSuchKey") if whole else Answer(404)
        if headers.get("if-match", kept.etag) != kept.etag:
            return error(412, "PreconditionFailed")
        told = {
            "ETag": kept.etag,
            "Last-Modified": formatdate(kept.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if not whole:
            return Answer(200, headers=told, length=len(kept.body))
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
        if not asked:
            return Answer(200, kept.body, told)
        size, (first, last) = len(kept.body), asked.groups()
        start = int(first) if first else max(size - int(last), 0)
        end = min(int(last) + 1, size) if first and last else size
        if start >= size:
            return error(416, "InvalidRange")
        return Answer(206, kept.body[start:end], told | {"Content-Range": f"bytes {start}-{end - 1}/{size}"})

    def remove(self, key: str) -> Answer:
        if self.files.pop(key, None):
            del self.keys[bisect.bisect_left(self.keys, key)]
        return Answer(204)

    def remove_many(self, bucket: str, body: bytes) -> Answer:
        keys = [unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", body.decode())]
        for key in keys:
            self.remove(f"{bucket}/{key}")
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return Answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

    def listing(self, bucket: str, query: dict[str, list[str]]) -> Answer:
        """A page; its token is the last key or folder of the page before."""
        prefix, delimiter, token, most = (
            query.get(name, [default])[0]
            for name, default in (
                ("prefix", ""),
                ("delimiter", ""),
                ("continuation-token", ""),
                ("max-keys", str(MOST_LISTED)),
            )
        )
        above = f"{bucket}/"
        after = above + (token or query.get("start-after", [""])[0] or prefix)
        # Behind a folder everything of it is left out: no key has the last code point.
        place = bisect.bisect_left(self.keys, after + "\U0010ffff" if token.endswith("/") else after)
        if token and place < len(self.keys) and self.keys[place] == after:
            place += 1
        found: list[str] = []
        last, more = "", False
        while place < len(self.keys) and self.keys[place].startswith(above + prefix):
            if len(found) == min(int(most), MOST_LISTED):
                more = True
                break
            key = self.keys[place]
            name = key.removeprefix(above)
            folder, slash, _ = name.removeprefix(prefix).partition(delimiter) if delimiter else ("", "", "")
            if slash:
                last = f"{prefix}{folder}{delimiter}"
                found.append(f"<CommonPrefixes><Prefix>{escape(last)}</Prefix></CommonPrefixes>")
                place = bisect.bisect_left(self.keys, f"{above}{last}\U0010ffff")
                continue
            last, kept = name, self.files[key]
            modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(kept.modified))
            found.append(
                f"<Contents><Key>{escape(name)}</Key><LastModified>{modified}</LastModified>"
                f"<ETag>{escape(kept.etag)}</ETag><Size>{len(kept.body)}</Size></Contents>"
            )
            place += 1
        next_page = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        page = (
            f"<ListBucketResult><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(found)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{next_page}{''.join(found)}</ListBucketResult>"
        )
        return Answer(200, page.encode(), {"Content-Type": "application/xml"})

    def answer(self, method: str, target: str, headers: Headers, body: bytes) -> Answer:
        path, _, asked = target.partition("?")
        query = parse_qs(asked, keep_blank_values=True)
        bucket, _, name = unquote(path).removeprefix("/").partition("/")
        key = f"{bucket}/{name}"
        match method:
            case "GET" if not name:
                return self.listing(bucket, query)
            case "GET" | "HEAD":
                return self.get(key, headers, whole=method == "GET")
            case "PUT" if "x-amz-copy-source" in headers:
                return self.copy(key, unquote(headers["x-amz-copy-source"]).removeprefix("/"))
            case "PUT":
                return self.put(key, headers, body) if name else Answer(200)
            case "DELETE":
                return self.remove(key)
            case "POST" if "delete" in query:
                return self.remove_many(bucket, body)
        return error(501, "NotImplemented")


class Connection(asyncio.Protocol):
    """One connection, which stays open between requests. A client waits for an answer before it asks again."""

    def __init__(self, store: Store, log: TextIO, latency: float) -> None:
        self.store, self.log, self.latency = store, log, latency
        self.got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data
        while (end := self.got.find(b"\r\n\r\n")) >= 0:
            first, *lines = self.got[:end].decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            whole = end + 4 + int(headers.get("content-length", "0"))
            if len(self.got) < whole:
                return
            body = bytes(self.got[end + 4 : whole])
            del self.got[:whole]
            method, target, _ = first.split(" ")
            answer = self.store.answer(method, target, headers, body)
            self.log.write(f'"{first}" {answer.status} -\n')
            sent = answer.sent()
            if self.latency:
                asyncio.get_running_loop().call_later(self.latency, self.transport.write, sent)
            else:
                self.transport.write(sent)


async def serve(port: int, log: TextIO, latency: float) -> None:
    store = Store()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(store, log, latency), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    port, log = int(sys.argv[1]), sys.argv[2]
    latency = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    # By lines: who reads the log sees each request as soon as it is answered.
    with open(log, "a", encoding="utf-8", buffering=1) as file:
        asyncio.run(serve(port, file, latency))


if __name__ == "__main__":
    main()

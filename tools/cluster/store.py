"""An S3 server on this machine with one bucket, and what must hold of what is in it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from cases import must
from fault_proxy import Proxy
from loopback import s3_server

BUCKET = "lab"
KEY = "AKIATESTKEYTESTKEYTS"
# Shorter than for people: a lock of a killed process is waited for.
LEASE_SECS = 8


class Store:
    """The server until it is closed. Its secret key is a new one, which must be found nowhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = secrets.token_urlsafe(30)
        self.server, self.port = s3_server(folder)
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=self.secret,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        self.client.create_bucket(Bucket=BUCKET)

    def close(self) -> None:
        """Ends the server."""
        self.server.terminate()
        self.server.wait()

    def environment(self, address: str) -> dict[str, str]:
        """What a program needs to reach the store at an address, its own or that of a proxy, and what keeps it from the caller's own clouds."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": address,
            "AWS_CONFIG_FILE": str(self.folder / "no config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "no credentials"),
            "HEADSPAN_CACHE": str(self.folder / "cache"),
            "HEADSPAN_LEASE_SECONDS": str(LEASE_SECS),
            "NO_PROXY": "127.0.0.1",
        }

    def upload(self, folder: Path, below: str) -> None:
        """Puts the files of a folder into the store."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.client.upload_file(str(path), BUCKET, f"{below}/{path.relative_to(folder)}")

    def keys(self, below: str) -> list[str]:
        """What is in the store below a key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=below)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """A file of the store."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def must_hold(self, below: str, expected: Mapping[str, bytes]) -> int:
        """The tables below a key are these, byte for byte. Returns their number."""
        found = {key.removeprefix(below) for key in self.keys(below) if key.endswith(".parquet")}
        must(expected.keys() == found, f"other tables: {sorted(expected.keys() ^ found)}")
        different = [name for name in sorted(expected) if self.read(below + name) != expected[name]]
        must(not different, f"tables differ: {different}")
        return len(expected)

    def must_be_whole(self, below: str) -> None:
        """Nothing is left of locks and of files that were being written."""
        left = [key for key in self.keys(below) if "/.locks/" in key or key.endswith(".tmp")]
        must(not left, f"left in the store: {left}")

    def must_keep_secret(self, said: Iterable[str], files: Iterable[Path], proxies: Iterable[Proxy]) -> None:
        """The secret key is in no message, no file of the store or of this machine, and no address."""
        must(not any(self.secret in words for words in said), "the secret key was printed")
        secret = self.secret.encode()
        for key in self.keys(""):
            must(secret not in self.read(key), f"the secret key is in `{key}`")
        for path in (path for path in files if path.is_file()):
            must(secret not in path.read_bytes(), f"the secret key is in `{path}`")
        addresses = [path for proxy in proxies for _, path, _ in proxy.requests]
        must(not any(self.secret in path for path in addresses), "the secret key is in an address")

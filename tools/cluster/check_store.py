"""Reads images from an S3 server on this machine, through a proxy that spoils requests, and compares the tables with those of files.

    python3 tools/cluster/check_store.py BIN [--scenes N] [--only equal,faults,...] [--seed N] [--keep]

It needs `requirements.txt` beside it (moto is the server). The demo's model looks at rendered scenes.

    equal      tars (plain, gzip, zstd), Parquet, a folder and a manifest: the tables of files, byte for byte
    patterns   the same tars by braces, by `*`, and as the folder
    continued  a run that was begun from files goes on from the store
    faults     500, 503, cuts at random bytes, delays
    index      what a tar holds is listed once: a second run reads it once
    frugal     requests per MiB, and memory compared with files
    rate       images per second, compared with files (from a plain web server: the emulated one is slower than the pass)
    signed     a signed web address: its signature stands nowhere
    refused    no credentials, no bucket, no file: which message and which hint, and how soon

What must hold each time: the same tables; no secret in runs, logs and messages. The exit code is 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard
from cases import must, tried
from fault_proxy import Proxy
from program import own_environment, tables
from range_server import RangeServer
from store import BUCKET, KEY, Store

MODEL = "scenes-4"
# Longest wait for a command; a machine under load is slow.
SECONDS = 300
MOST_REQUESTS = 1.1
MOST_MEMORY = 256 << 20


class World:
    """The scenes in all formats, on disk and in the store, and the program."""

    def __init__(self, program: Path, folder: Path, scenes: int, pixels: int, seed: int, store: Store) -> None:
        self.program, self.folder, self.seed, self.store = program, folder, seed, store
        self.port = store.port
        self.peak = 0
        self.said: list[str] = []
        self.secrets = [store.secret]
        self.s3 = store.client
        self.make(scenes, pixels)
        store.upload(folder / "data", "images")

    def make(self, scenes: int, pixels: int) -> None:
        data, world = self.folder / "data", self.folder / "world"
        for format in ("webdataset", "parquet", "folder"):
            count = scenes if format == "webdataset" else scenes // 4
            out = world / format
            arguments = ("--scenes", count, "--format", format, "--seed", 1, "--pixels", pixels)
            self.call("scenes", "--out", out, *arguments)
        self.texts = world / "webdataset/descriptions.csv"
        shutil.copytree(world / "webdataset/images", data / "tar")
        shutil.copytree(world / "parquet/images", data / "parquet")
        shutil.copytree(world / "folder/images", data / "folder")
        shutil.copy(world / "webdataset/classes.txt", data / "classes.txt")
        for ending in ("gz", "zst"):
            (data / ending).mkdir()
        for tar in sorted((data / "tar").glob("*.tar"))[:2]:
            content = tar.read_bytes()
            (data / "gz" / f"{tar.name}.gz").write_bytes(gzip.compress(content, 1))
            (data / "zst" / f"{tar.name}.zst").write_bytes(zstandard.compress(content))
        rows = [
            (str(path.relative_to(data)), path.parent.name) for path in sorted((data / "folder").rglob("*.*"))
        ]
        with (data / "manifest.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "class"), *rows[:50]])

    def environment(self, endpoint: str | None) -> dict[str, str]:
        """Nothing of the caller's own clouds, and the server's address and keys if there is one."""
        own = own_environment()
        own["HEADSPAN_CACHE"] = str(self.folder / "cache")
        own["HOME"] = str(self.folder / "home")
        own["HEADSPAN__IMAGES__PART_ROWS"] = "100"
        if endpoint:
            own |= {
                "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": self.store.secret,
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_REGION": "us-east-1",
                "HEADSPAN_LOG": "debug",
            }
        return own

    def call(
        self, *arguments: str | Path | int, endpoint: str | None = None, code: int = 0, **own: str
    ) -> str:
        """Stdout and stderr of the program, which must end with this code."""
        words = [str(self.program), *(str(argument) for argument in arguments)]
        out = (self.folder / "out.txt").open("w+")
        process = subprocess.Popen(
            words, stdout=out, stderr=out, cwd=self.folder, env=self.environment(endpoint) | own
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            process.returncode = 0
        self.peak = usage.ru_maxrss * 1024
        out.seek(0)
        said = out.read()
        out.close()
        self.said.append(said)
        ended = os.waitstatus_to_exitcode(status)
        must(ended == code, f"{' '.join(words[1:])} ended with {ended}:\n{said[-3000:]}")
        return said

    def run(
        self, runs: str, images: str | Path, *flags: str | Path | int, endpoint: str | None = None
    ) -> str:
        place = ("--dataset", "scenes", "--runs", runs, "--device", "cpu", "--texts", self.texts)
        return self.call("run-all", MODEL, "--images", images, *place, *flags, endpoint=endpoint)

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def local(self, name: str) -> Path:
        return self.folder / "data" / name

    def remote(self, name: str) -> str:
        return f"s3://{BUCKET}/images/{name}"

    def must_equal(self, runs: str, expected: str) -> None:
        """The same tables, byte for byte."""
        own, others = tables(self.folder / runs), tables(self.folder / expected)
        must(
            bool(others) and own.keys() == others.keys(),
            f"other tables: {sorted(own.keys() ^ others.keys())}",
        )
        different = [name for name in others if own[name] != others[name]]
        must(not different, f"tables of {runs} differ: {different}")

    def must_keep_secrets(self) -> None:
        """No secret in what was written and said."""
        for secret in self.secrets:
            must(all(secret not in said for said in self.said), "a secret is in a message")
            for place in (*self.folder.glob("runs-*"), self.folder / "cache", self.folder / "home"):
                for path in place.rglob("*"):
                    found = path.is_file() and secret.encode() in path.read_bytes()
                    must(not found, f"a secret is in {path}")

    def expected(self) -> str:
        """Folder of the runs over plain tars on disk."""
        if not (self.folder / "runs-tar").exists():
            self.run("runs-tar", self.local("tar"), "--classes", self.local("classes.txt"))
        return "runs-tar"


def equal(world: World) -> str:
    """All formats, from files and from the store."""
    names = ("tar", "gz", "zst", "parquet", "folder", "manifest.csv")
    for name in names:
        expected = world.expected() if name == "tar" else f"runs-{name}"
        classes = ("--classes", world.local("classes.txt")) if name != "folder" else ()
        if name != "tar":
            world.run(expected, world.local(name), *classes)
        remote = ("--classes", world.remote("classes.txt")) if classes else ()
        world.run(f"runs-{name}-s3", world.remote(name), *remote, endpoint=world.server)
        world.must_equal(f"runs-{name}-s3", expected)
    return f"{', '.join(names)}: the tables of files"


def patterns(world: World) -> str:
    """Braces and stars."""
    tars = sorted(path.name for path in world.local("tar").glob("*.tar"))
    first, last = tars[0].removesuffix(".tar"), tars[-1].removesuffix(".tar")
    digits = len(first) - len(first.rstrip("0123456789"))
    stem = first[:-digits]
    braces = f"{stem}{{{first[-digits:]}..{last[-digits:]}}}.tar"
    classes = ("--classes", world.local("classes.txt"))
    world.expected()
    for number, pattern in enumerate((braces, f"{stem}*.tar", "*.tar")):
        world.run(f"runs-pattern-{number}", world.remote(f"tar/{pattern}"), *classes, endpoint=world.server)
        world.must_equal(f"runs-pattern-{number}", "runs-tar")
        world.run(f"runs-local-pattern-{number}", world.local(f"tar/{pattern}"), *classes)
        world.must_equal(f"runs-local-pattern-{number}", "runs-tar")
    said = world.call(
        "plan", MODEL, "--images", world.remote("tar/none-*.tar"), endpoint=world.server, code=1
    )
    must("no file matches" in said, said)
    return f"`{braces}`, `{stem}*.tar`, `*.tar`: the tables of the folder"


def continued(world: World) -> str:
    """A run is begun from files and goes on from the store."""
    classes = ("--classes", world.local("classes.txt"))
    place = ("--dataset", "scenes", "--runs", "runs-continued", "--device", "cpu", "--texts", world.texts)
    world.call("extract", MODEL, "--images", world.local("tar"), *classes, *place, "--shard", "0/2")
    parts = {
        path: path.stat().st_mtime_ns for path in (world.folder / "runs-continued").rglob("part-*.parquet")
    }
    world.run("runs-continued", world.remote("tar/*.tar"), *classes, endpoint=world.server)
    again = [path.name for path, when in parts.items() if path.stat().st_mtime_ns != when]
    must(bool(parts) and not again, f"parts written again: {again}")
    world.expected()
    world.must_equal("runs-continued", "runs-tar")
    return f"{len(parts)} parts of the local run kept"


def faults(world: World) -> str:
    """A network and a store that fail."""
    proxy = Proxy(world.port, world.seed)
    world.expected()
    shutil.rmtree(world.folder / "cache", ignore_errors=True)
    classes = ("--classes", world.remote("classes.txt"))
    try:
        for name in ("tar", "gz", "parquet"):
            expected = world.expected() if name == "tar" else f"runs-{name}"
            if not (world.folder / expected).exists():
                world.run(expected, world.local(name), "--classes", world.local("classes.txt"))
            world.run(f"runs-{name}-faults", world.remote(name), *classes, endpoint=proxy.address)
            world.must_equal(f"runs-{name}-faults", expected)
    finally:
        proxy.close()
    must(
        sum(proxy.spoiled.values()) > 5,
        f"only {proxy.spoiled} were spoiled; more --scenes make more requests",
    )
    return f"{proxy.told_spoiled()} (seed {world.seed})"


def index(world: World) -> str:
    """The list of a tar is kept."""
    proxy = Proxy(world.port)
    shutil.rmtree(world.folder / "cache", ignore_errors=True)
    size = sum(path.stat().st_size for path in world.local("tar").glob("*.tar"))
    read = []
    try:
        for number in range(2):
            proxy.reset()
            world.run(f"runs-index-{number}", world.remote("tar"), endpoint=proxy.address)
            read.append(proxy.sent / size)
        proxy.reset()
        world.call("plan", MODEL, "--images", world.remote("tar"), endpoint=proxy.address)
        read.append(proxy.sent / size)
    finally:
        proxy.close()
    must(read[0] < 2.1 and read[1] < 1.1 and read[2] < 0.05, f"bytes read, of the tars: {read}")
    return (
        "of the bytes of the tars, read: " + ", ".join(f"{share:.2f}" for share in read) + " (run, run, plan)"
    )


def frugal(world: World) -> str:
    """Requests and memory."""
    proxy = Proxy(world.port)
    classes = ("--classes", world.local("classes.txt"))
    said = []
    try:
        for name in ("tar", "zst", "parquet"):
            world.run(f"runs-frugal-{name}", world.local(name), *classes)
            local = world.peak
            shutil.rmtree(world.folder / "cache", ignore_errors=True)
            proxy.reset()
            world.run(f"runs-frugal-{name}-s3", world.remote(name), *classes, endpoint=proxy.address)
            more, rate = world.peak - local, len(proxy.requests) / (proxy.sent / (1 << 20))
            said.append(
                f"{name} {rate:.2f} requests per MiB of {proxy.sent >> 20}, {more >> 20:+} MiB of memory"
            )
            # A few requests are made however little there is to read.
            must(len(proxy.requests) - 8 <= MOST_REQUESTS * (proxy.sent / (1 << 20)), said[-1])
            must(more <= MOST_MEMORY, said[-1])
    finally:
        proxy.close()
    return "; ".join(said)


def rate(world: World) -> str:
    """Images per second. Nothing must hold: it is a measurement, and machines have other work."""
    server = RangeServer(world.local("tar"))
    tars = sorted(world.local("tar").glob("*.tar"))
    rates: dict[str, list[float]] = {"files": [], "web": []}
    try:
        for number in range(3):
            for name, place in (("files", tars[0]), ("web", f"{server.address}/{tars[0].name}")):
                runs = f"runs-rate-{name}-{number}"
                world.call("extract", MODEL, "--images", place, "--runs", runs, "--device", "cpu")
                record = world.folder / runs / "images" / MODEL / "stages/images.json"
                rates[name].append(json.loads(record.read_text())["figures"]["images_per_second"])
    finally:
        server.close()
    best = {name: max(own) for name, own in rates.items()}
    return f"{best['web']:.0f} images/s, {best['web'] / best['files']:.2f} of files (best of 3)"


def signed(world: World) -> str:
    """An address with a signature."""
    world.expected()
    tar = min(world.local("tar").glob("*.tar"))
    parameters = {"Bucket": BUCKET, "Key": f"images/tar/{tar.name}"}
    address = world.s3.generate_presigned_url("get_object", Params=parameters, ExpiresIn=3600)
    with urllib.request.urlopen(address) as answer:
        must(len(answer.read()) == tar.stat().st_size, "the server does not give the file")
    world.secrets.append(address.split("X-Amz-Signature=")[1].split("&")[0])
    world.run("runs-signed-local", tar)
    world.run("runs-signed", address)
    world.must_equal("runs-signed", "runs-signed-local")
    world.call("plan", MODEL, "--images", f"{address}&x=1", "--set", f"data.path={address}")
    world.call("config", "--set", f"data.path={address}")
    world.call("plan", MODEL, "--set", f"data.paht={address}", code=1)
    record = (world.folder / f"runs-signed/scenes/{MODEL}/stages/images.json").read_text()
    must(f"/{BUCKET}/images/tar/{tar.name}" in record, "the record does not name the address")
    return "the tables of the file, and the signature nowhere"


def refused(world: World) -> str:
    """Messages and hints."""
    place = ("--runs", "runs-refused", "--device", "cpu")
    started = time.monotonic()
    region = {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": world.server}
    said = world.call("plan", MODEL, "--images", world.remote("tar"), *place, code=1, **region)
    took = time.monotonic() - started
    must("no credentials were found" in said and "AWS_PROFILE" in said and took < 30, f"{took:.0f} s: {said}")
    for images, expected, hint in (
        ("s3://no-such-bucket/tar", "does not exist", "names of the bucket"),
        (world.remote("no-such-folder"), "does not exist", "names of the bucket"),
        (world.remote("no-such-{0..3}.tar"), "no-such-0.tar` does not exist", "names of the bucket"),
        (f"{world.server}/{BUCKET}/images/no-such.tar", "does not exist", "a web server does not list"),
        ("ftp://host/a.tar", "`ftp://` are not supported", "s3://"),
        ("s3://", "is not an address", ""),
    ):
        said = world.call("plan", MODEL, "--images", images, *place, endpoint=world.server, code=1)
        must(expected in said and hint in said, f"{images}: {said}")
    return f"each with its hint; without credentials after {took:.0f} s"


CASES: dict[str, Callable[[World], str]] = {
    "equal": equal,
    "patterns": patterns,
    "continued": continued,
    "faults": faults,
    "index": index,
    "frugal": frugal,
    "rate": rate,
    "signed": signed,
    "refused": refused,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", type=Path, help="the program headspan")
    parser.add_argument("--scenes", type=int, default=2000, help="number of scenes in tars (default: 2000)")
    parser.add_argument(
        "--pixels", type=int, default=128, help="size of scenes; larger ones make larger tars"
    )
    parser.add_argument("--only", default=",".join(CASES), help="cases, such as equal,faults")
    parser.add_argument("--seed", type=int, default=1, help="seed of what is spoiled (default: 1)")
    parser.add_argument("--keep", action="store_true", help="keep the folder of runs")
    arguments = parser.parse_args()

    @contextmanager
    def world(folder: Path) -> Iterator[World]:
        store = Store(folder)
        try:
            program = arguments.program.resolve()
            yield World(program, folder, arguments.scenes, arguments.pixels, arguments.seed, store)
        finally:
            store.close()

    return tried("headspan-store-", world, CASES, arguments.only, arguments.keep, World.must_keep_secrets)


if __name__ == "__main__":
    sys.exit(main())

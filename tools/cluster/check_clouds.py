"""Reads images, and where it can keeps runs, in the stores of other clouds, emulated on this machine.

    python3 tools/cluster/check_clouds.py BIN [--only gs,az,hf] [--keep]

    gs   images on moto's server, which answers the interface that Google's storage shares with S3
    az   images and runs on Azurite, Microsoft's emulator: `npm install --global azurite`, and `pip install azure-storage-blob`
    hf   images on a hub of data sets: pages of a list, and addresses that lead to another server

What must hold: the tables of local images, byte for byte; a key of the hub goes to no other server. The exit code is 1 if anything did
not hold, and 0 if a case is left out because its emulator is not there, which is said.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from cases import must, tried
from hub_server import PAGE, Files, Hub
from loopback import free_port, s3_server, wait_for
from program import Program, Words, own_environment, tables

MODEL = "scenes-4"
# Three tars.
SCENES = 2100
CONTAINER = "lab"
IMAGES = "some/images"
RUNS = "some/runs"
HUB_KEY = "hf_of_the_hub"
# The account that every Azurite has, as its documentation prints it.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class World(Program):
    """The program, the scenes, and the tables that they give from a disk."""

    def __init__(self, path: Path, folder: Path) -> None:
        super().__init__(path, folder, own_environment() | {"NO_PROXY": "127.0.0.1"})
        self.scenes = folder / "scenes"
        self.call("scenes", "--out", self.scenes, "--scenes", SCENES, "--format", "webdataset", "--seed", 1)
        self.run_all(self.scenes / "images", folder / "local")

    @property
    def tars(self) -> list[Path]:
        return sorted((self.scenes / "images").glob("*.tar"))

    def run_all(self, images: Path | str, runs: Path | str, **more: str) -> None:
        """Brings the run over these images up to date."""
        pool: Words = ["--classes", self.scenes / "classes.txt", "--texts", self.scenes / "descriptions.csv"]
        cache = {"HEADSPAN_CACHE": str(self.folder / f"cache-{time.monotonic_ns()}")}
        place: Words = ["--dataset", "scenes", "--device", "cpu", "--images", images, "--runs", runs]
        self.call("run-all", MODEL, *pool, *place, variables=cache | more)

    def must_equal(self, found: dict[str, bytes]) -> int:
        """The tables of local images, byte for byte. Gives their number."""
        expected = tables(self.folder / "local")
        must(found.keys() == expected.keys(), f"other tables: {sorted(found.keys() ^ expected.keys())}")
        different = [name for name in expected if found[name] != expected[name]]
        must(not different, f"tables differ: {different}")
        return len(expected)


def google(world: World) -> str:
    """Images at gs://."""
    server, port = s3_server(world.folder)
    try:
        address = f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=address, **keys)
        client.create_bucket(Bucket=CONTAINER)
        for tar in world.tars:
            # The program asks without a key, as it does of emulators.
            key = f"{IMAGES}/{tar.name}"
            client.put_object(Bucket=CONTAINER, Key=key, Body=tar.read_bytes(), ACL="public-read")
        runs = world.folder / "google"
        world.run_all(f"gs://{CONTAINER}/{IMAGES}", runs, STORAGE_EMULATOR_HOST=address)
    finally:
        server.kill()
        server.wait()
    return f"{world.must_equal(tables(runs))} tables from images at gs:// are those of local images"


def azure(world: World) -> str:
    """Images and runs at az://."""
    azurite = shutil.which("azurite-blob")
    try:
        from azure.storage.blob import BlobServiceClient
    except ImportError:
        azurite = None
    if azurite is None:
        return "left out: azurite-blob or the Python package azure-storage-blob is not installed"
    port = free_port()
    options = ["--inMemoryPersistence", "--blobPort", str(port), "--skipApiVersionCheck", "--silent"]
    with (world.folder / "azurite.txt").open("wb") as log:
        server = subprocess.Popen([azurite, *options], stdout=log, stderr=log, cwd=world.folder)
    try:
        wait_for(port, server)
        address = f"http://127.0.0.1:{port}/{ACCOUNT}"
        client = BlobServiceClient(address, credential=ACCOUNT_KEY)
        container = client.create_container(CONTAINER)
        for tar in world.tars:
            container.upload_blob(f"{IMAGES}/{tar.name}", tar.read_bytes())
        account = {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
            "AZURE_STORAGE_ENDPOINT": address,
        }
        root = f"az://{CONTAINER}"
        world.run_all(f"{root}/{IMAGES}", f"{root}/{RUNS}", **account)
        # Everything is there, so the second call reads and writes no table.
        world.run_all(f"{root}/{IMAGES}", f"{root}/{RUNS}", **account)
        names = [blob.name for blob in container.list_blobs(name_starts_with=RUNS)]
        left = [name for name in names if "/.locks/" in name or name.endswith(".tmp")]
        must(not left, f"left in the store: {left}")
        found = {
            name.removeprefix(f"{RUNS}/"): container.download_blob(name).readall()
            for name in names
            if name.endswith(".parquet")
        }
    finally:
        server.kill()
        server.wait()
    return f"{world.must_equal(found)} tables at az://, from images at az://, are those of local images"


def hub(world: World) -> str:
    """Images at hf://."""
    must(len(world.tars) > PAGE, "the list has one page only")
    files = Files(world.scenes)
    server = Hub("owner/name", world.scenes, files, HUB_KEY)
    try:
        runs = world.folder / "hub"
        named = {"HF_ENDPOINT": server.address, "HF_TOKEN": HUB_KEY, "HF_HUB_OFFLINE": "0"}
        world.run_all("hf://datasets/owner/name/images", runs, **named)
        count = world.must_equal(tables(runs))
        must(files.keys == {None}, f"the hub's key went to another server: {files.keys}")
    finally:
        server.close()
        files.close()
    return f"{count} tables from images at hf:// are those of local images; the key stayed with the hub"


CASES: dict[str, Callable[[World], str]] = {"gs": google, "az": azure, "hf": hub}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program headspan")
    parser.add_argument("--only", default=",".join(CASES), help="cases, divided by commas")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    arguments = parser.parse_args()

    @contextmanager
    def world(folder: Path) -> Iterator[World]:
        yield World(arguments.program.resolve(), folder)

    return tried("headspan-clouds-", world, CASES, arguments.only, arguments.keep)


if __name__ == "__main__":
    sys.exit(main())

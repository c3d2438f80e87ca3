"""Images per second from a tar on a disk, on a web server and in an emulated store, in alternation, with a model of one's own.

    python3 tools/cluster/rate.py BIN CHECKPOINT TAR [--rounds 3]

With a model of real size the pass is the bottleneck, as it is for people. `check_store.py` has the same with the demo's model, which is
faster than an emulated store. Needs what `check_store.py` needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from program import own_environment
from range_server import RangeServer
from store import BUCKET, Store


def extracted(program: Path, checkpoint: Path, images: str, runs: Path, store: Store) -> tuple[float, float]:
    """Images per second of one extraction without caches, and its peak memory in MiB."""
    own = store.environment(f"http://127.0.0.1:{store.port}") | {"HEADSPAN_CACHE": str(runs / "cache")}
    environment = own_environment() | own
    # Its texts are not embedded, so a description is enough.
    pool = runs / "pool.txt"
    runs.mkdir()
    pool.write_text("a photo\n")
    words = [program, "--quiet", "extract", "--checkpoint", checkpoint, "--images", images, "--texts", pool]
    process = subprocess.Popen([*words, "--runs", runs, "--device", "cpu"], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"the extraction from {images} failed")
    [record] = runs.glob("images/*/stages/images.json")
    rate: float = json.loads(record.read_text())["figures"]["images_per_second"]
    shutil.rmtree(runs)
    return rate, usage.ru_maxrss / 1024


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program headspan")
    parser.add_argument("checkpoint", type=Path, help="a checkpoint folder")
    parser.add_argument("tar", type=Path, help="a tar of images")
    parser.add_argument("--rounds", type=int, default=3, help="runs from each place (default: 3)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headspan-rate-"))
    store, tar = Store(folder), arguments.tar.resolve()
    server = RangeServer(tar.parent)
    try:
        store.client.upload_file(str(tar), BUCKET, tar.name)
        places = {
            "disk": str(tar),
            "web server": f"{server.address}/{tar.name}",
            "emulated S3": f"s3://{BUCKET}/{tar.name}",
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in places}
        program, checkpoint = arguments.program.resolve(), arguments.checkpoint.resolve()
        for _ in range(arguments.rounds):
            for name, images in places.items():
                found[name].append(extracted(program, checkpoint, images, folder / "runs", store))
        disk = statistics.median(rate for rate, _ in found["disk"])
        for name, own in found.items():
            rate, peak = statistics.median(rate for rate, _ in own), max(peak for _, peak in own)
            print(f"{name}: {rate:.2f} images/s, {rate / disk:.3f} of the disk; {peak:.0f} MiB at most")
    finally:
        server.close()
        store.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

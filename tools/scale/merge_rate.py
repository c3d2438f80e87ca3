"""Measures how fast parts are joined, with the heads of a real model: 1,024 images in a part, ViT-L/14's or ViT-B's last four layers.

    pip install numpy pillow
    python tools/scale/merge_rate.py BIN [--images 20480] [--geometry ViT-L/14] [--folder DIR]

What a merge costs depends on heads, their width and the number of images, not on the tower below them. So the checkpoint has four
layers of the right width and random weights, and the images are one patch small: extracting them takes a minute. The figure is the
processor time of `extract --merge` with all parts there and in the system's cache; the start of the program is in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "check")]

import make_toy_world
import random_checkpoint
import world as worlds

# Width of the tower and of the representation.
GEOMETRIES = {"ViT-B": (768, 512), "ViT-L/14": (1024, 768)}
MODEL = "four-layers"


def write_checkpoint(folder: Path, width: int, d: int) -> None:
    """Four layers over a single patch, and a text tower of next to nothing."""
    random_checkpoint.EMBED_DIM = d
    random_checkpoint.VISION = {"image_size": 16, "layers": 4, "width": width, "patch_size": 16}
    random_checkpoint.TEXT = {"context_length": 77, "vocab_size": 64, "layers": 1, "width": 64, "heads": 1}
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(json.dumps(make_toy_world.tokenizer()))
    random_checkpoint.write_checkpoint(folder / MODEL, tokenizer)


def measure(program: Path, folder: Path, images: int, geometry: str) -> tuple[float, worlds.Measured]:
    """Seconds of the stage, and the process."""
    write_checkpoint(folder, *GEOMETRIES[geometry])
    worlds.write_images(folder / "pixels.tar", images)
    worlds.write_pool(folder / "pool.txt")
    worlds.write_stands_in(folder / "bin")
    world = worlds.World(program, folder, images, model=MODEL, part_rows=1024)
    # Decoded and extracted once; the last shard joins the parts, and is made to do so again.
    extract = ["extract", *world.pipeline, "--checkpoint", str(folder / MODEL)]
    world.call("make all parts", *extract)
    world.forget_images()
    process = world.call("merge", *extract, "--merge")
    record = json.loads((world.run_folder / "stages" / "images.json").read_text())
    return record["seconds"], process


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    arguments.add_argument("program", type=Path, help="the program headspan")
    arguments.add_argument("--images", type=int, default=20_480)
    arguments.add_argument("--geometry", choices=GEOMETRIES, default="ViT-L/14")
    arguments.add_argument("--folder", type=Path, help="where the run is made")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="headspan-merge-", dir=given.folder) as folder:
        seconds, process = measure(given.program.resolve(), Path(folder), given.images, given.geometry)
    print(
        f"{given.geometry}: {given.images:,} images joined: {given.images / process.cpu_seconds:,.0f} images per core second; "
        f"process: {process.cpu_seconds:.2f} CPU seconds, {process.seconds:.2f} s, {process.peak_mib:.0f} MiB; stage: {seconds:.2f} s"
    )


if __name__ == "__main__":
    main()

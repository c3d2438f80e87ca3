"""Extraction by headspan beside PyTorch's plain `encode_image` in float32: same machine, images, checkpoint and threads, in
alternation. PyTorch's figure is the forward pass alone on ready pixels; headspan's is the whole stage, from image files to
Parquet.

Usage: extract_vs_pytorch.py CHECKPOINT IMAGES [--rounds 3] [--threads 2] [--binary target/release/headspan]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import open_clip
import torch
from open_clip.transform import image_transform
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools/reference"))
from make_cases import build  # noqa: E402


def pixels(config: dict, images: Path) -> torch.Tensor:
    pre = config["preprocess_cfg"]
    size = config["model_cfg"]["vision_cfg"]["image_size"]
    transform = image_transform(size, is_train=False, mean=pre["mean"], std=pre["std"])
    return torch.stack([transform(Image.open(path)) for path in sorted(images.iterdir())])


@torch.inference_mode()
def pytorch(model: torch.nn.Module, images: torch.Tensor, batch: int) -> float:
    start = time.perf_counter()
    for part in images.split(batch):
        model.encode_image(part)
    return len(images) / (time.perf_counter() - start)


def headspan(binary: str, checkpoint: Path, images: Path) -> tuple[float, float]:
    """Images a second of the stage, and peak memory of the process in GB."""
    with tempfile.TemporaryDirectory() as runs:
        (Path(runs) / "one.csv").write_text("text,category\nA photo,photo\n")
        command = [binary, "--quiet", "extract", "--checkpoint", checkpoint, "--images", images, "--runs", runs,
                   "--texts", f"{runs}/one.csv", "--dataset", "bench", "--device", "cpu"]
        measured = subprocess.run(["/usr/bin/env", "python3", "-c", MEASURE, *map(str, command)], capture_output=True, text=True)
        if measured.returncode != 0:
            sys.exit(measured.stderr)
        record = next(Path(runs).glob("bench/*/stages/images.json"))
        return json.loads(record.read_text())["figures"]["images_per_second"], float(measured.stdout) / 1e6


MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--binary", default="target/release/headspan")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = json.loads((arguments.checkpoint / "open_clip_config.json").read_text())
    model = build(config)
    model.load_state_dict(load_file(arguments.checkpoint / "open_clip_model.safetensors"), strict=False)
    images = pixels(config, arguments.images)
    batch = max((8, 16, 32, 64), key=lambda size: pytorch(model, images[:64], size))
    rows: dict[str, list[float]] = {"pytorch": [], "headspan": [], "memory": []}
    for _ in range(arguments.rounds):
        rows["pytorch"].append(pytorch(model, images, batch))
        rate, memory = headspan(arguments.binary, arguments.checkpoint, arguments.images)
        rows["headspan"].append(rate)
        rows["memory"].append(memory)
    print(f"torch {torch.__version__}, open_clip {open_clip.__version__}, {arguments.threads} threads, batch {batch}")
    print("| what | images/s, median | min–max |")
    print("|---|---|---|")
    names = {"pytorch": "PyTorch `encode_image`, f32, forward alone", "headspan": "headspan `extract`, files to Parquet"}
    for key, name in names.items():
        print(f"| {name} | {statistics.median(rows[key]):.1f} | {min(rows[key]):.1f}–{max(rows[key]):.1f} |")
    ratio = statistics.median(rows["headspan"]) / statistics.median(rows["pytorch"])
    print(f"\nratio {ratio:.2f}, headspan's peak memory {max(rows['memory']):.2f} GB")


if __name__ == "__main__":
    main()

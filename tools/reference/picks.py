"""Compare a run's TEXTSPAN with the published loop on PyTorch's own contributions, from the same image files.

Usage: picks.py CHECKPOINT IMAGES RUN [--picks 5] [--rounding 1e-4]
RUN is RUNS/DATASET/MODEL. Picks are compared in order. A head's comparison ends where the loop's best two texts are closer than
`--rounding` (relative to the best): there the bits of the contributions decide. Exit code 1 if another pick differs.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import torch
from open_clip.transform import image_transform
from PIL import Image
from safetensors.torch import load_file

from decompose import decompose
from make_cases import build
from textspan_reference import gaps


def contributions(checkpoint: Path, folder: Path, ids: list[str], layers: list[int], batch: int) -> np.ndarray:
    """What each head adds to the representation, `[images, layers, heads, d]`, from files as open_clip reads them."""
    config = json.loads((checkpoint / "open_clip_config.json").read_text())
    model = build(config)
    model.load_state_dict(load_file(checkpoint / "open_clip_model.safetensors"), strict=False)
    size, pre = config["model_cfg"]["vision_cfg"]["image_size"], config["preprocess_cfg"]
    transform = image_transform(size, is_train=False, mean=pre["mean"], std=pre["std"])
    found = []
    for start in range(0, len(ids), batch):
        images = torch.stack([transform(Image.open(folder / name)) for name in ids[start : start + batch]])
        found.append(decompose(model.visual, images, layers, tokens=False)["attn"].numpy())
    return np.concatenate(found).astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--picks", type=int, default=5)
    parser.add_argument("--rounding", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    images = pl.read_parquet(arguments.run / "images.parquet").filter(pl.col("status") == "ok")
    texts = pl.read_parquet(arguments.run / "texts.parquet").sort("text_index")
    embeddings = np.asarray(texts["embedding"].to_list(), dtype=np.float64)
    spans = pl.read_parquet(arguments.run / "textspan.parquet")
    layers = sorted(spans["layer"].unique().to_list())
    ids = images["image_id"].to_list()
    dense = contributions(arguments.checkpoint, arguments.images, ids, layers, arguments.batch)
    equal, close, different = 0, 0, []
    for (layer, head), own in spans.group_by("layer", "head", maintain_order=True):
        ours = own.sort("pick")["text_index"].to_list()[: arguments.picks]
        rank = own["effective_rank"][0]
        published = gaps(dense[:, layers.index(layer), head], embeddings, len(ours), rank)
        for place, (mine, (theirs, gap)) in enumerate(zip(ours, published)):
            if gap < arguments.rounding:
                close += 1
                break
            if mine != theirs:
                different.append(f"L{layer}.H{head} pick {place}: {mine}, published {theirs} (gap {gap:.1e})")
                break
            equal += 1
    heads = spans.select("layer", "head").n_unique()
    print(f"{equal} picks of {heads} heads over {len(ids)} images are equal; {close} heads were left at a gap below {arguments.rounding:g}")
    print("\n".join(different))
    sys.exit(1 if different or not equal else 0)


if __name__ == "__main__":
    main()

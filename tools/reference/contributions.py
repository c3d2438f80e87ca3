"""Compare a headspan run with PyTorch: contributions of the run's heads and the representation.

Usage: contributions.py CHECKPOINT IMAGES RUN [--tolerance 1e-4]
RUN is RUNS/DATASET/MODEL. Exit code 1 beyond the tolerance.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    config = json.loads((arguments.checkpoint / "open_clip_config.json").read_text())
    model = build(config)
    model.load_state_dict(load_file(arguments.checkpoint / "open_clip_model.safetensors"), strict=False)
    size, pre = config["model_cfg"]["vision_cfg"]["image_size"], config["preprocess_cfg"]
    transform = image_transform(size, is_train=False, mean=pre["mean"], std=pre["std"])

    images = pl.read_parquet(arguments.run / "images.parquet").filter(pl.col("status") == "ok")
    parts = pl.concat([pl.read_parquet(p) for p in sorted((arguments.run / "activations").glob("part-*.parquet"))])
    readout = pl.read_parquet(arguments.run / "readout.parquet")
    layers = sorted(readout["layer"].unique().to_list())
    scalars = parts.select("inv_scale", "mean_scale", "inv_norm").to_numpy()
    worst = {"contributions": 0.0, "representation": 0.0}
    largest = dict(worst)
    ids = images["image_id"].to_list()
    for start in range(0, len(ids), arguments.batch):
        batch = [transform(Image.open(arguments.images / i)) for i in ids[start : start + arguments.batch]]
        stop = start + len(batch)
        expected = decompose(model.visual, torch.stack(batch), layers, tokens=False)
        ours = parts["representation"][start:stop].to_numpy()
        pairs = [("representation", ours, expected["repr"].numpy())]
        for row in readout.iter_rows(named=True):
            z = parts[f"L{row['layer']}.H{row['head']}"][start:stop].to_numpy()
            u = np.concatenate([z, scalars[start:stop]], axis=1).astype(np.float64)
            dense = u @ np.asarray(row["readout"], dtype=np.float64).reshape(row["d"], -1).T
            pairs.append(("contributions", dense, expected["attn"][:, layers.index(row["layer"]), row["head"]].numpy()))
        for key, found, reference in pairs:
            worst[key] = max(worst[key], float(np.abs(found - reference).max()))
            largest[key] = max(largest[key], float(np.abs(reference).max()))
    ratios = {key: worst[key] / largest[key] for key in worst}
    for key, ratio in ratios.items():
        print(f"{key}: {ratio:.2e} of the largest value {largest[key]:.4g} over {len(ids)} images")
    sys.exit(0 if max(ratios.values()) <= arguments.tolerance else 1)


if __name__ == "__main__":
    main()

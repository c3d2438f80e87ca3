"""Compares a run of a demo model with OpenCLIP in PyTorch: the same checkpoint folder, the same images and texts.

    python tools/reference/demo_features.py data/demo/scenes-6 runs/scenes/scenes-6 runs/.built-in/scenes/images

Prints the largest difference of image and text features, relative to the largest value, and fails above the tolerance.
"""

import glob
import io
import json
import pathlib
import sys

import numpy as np
import open_clip
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer

# float32 through a few blocks on either side; weights are float16 in the file and widened alike.
TOLERANCE = 2e-5
IMAGES = 256


def load(folder):
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    model = open_clip.model.CLIP(**config).eval()
    missing, extra = model.load_state_dict(
        {name: tensor.float() for name, tensor in load_file(folder / "open_clip_model.safetensors").items()}, strict=False
    )
    # The causal mask is computed, not learned.
    assert set(missing) <= {"attn_mask"} and not extra, (missing, extra)
    return model, config


def relative(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def main():
    folder, run, images = (pathlib.Path(argument) for argument in sys.argv[1:4])
    model, config = load(folder)
    activations = pq.read_table(sorted(glob.glob(f"{run}/activations/part-*.parquet"))[0])
    ours = np.stack(activations["representation"].to_numpy())[:IMAGES]
    rows = pq.read_table(sorted(images.glob("*.parquet"))[0])["image"].to_pylist()[:IMAGES]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in rows])
    mean = std = 0.5
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
    with torch.no_grad():
        image_error = relative(ours, model.encode_image(batch).numpy())

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    start, end = (tokenizer.token_to_id(token) for token in ("<|startoftext|>", "<|endoftext|>"))
    texts = pq.read_table(run / "texts.parquet")
    length = config["text_cfg"]["context_length"]
    ids = torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts["text"].to_pylist()):
        tokens = [start, *tokenizer.encode(text, add_special_tokens=False).ids[: length - 2], end]
        ids[row, : len(tokens)] = torch.tensor(tokens)
    with torch.no_grad():
        theirs = model.encode_text(ids, normalize=True).numpy()
    text_error = relative(np.stack(texts["embedding"].to_numpy()), theirs)

    print(f"{len(ours)} images {image_error:.1e}, {len(texts)} texts {text_error:.1e} of the largest value")
    if max(image_error, text_error) > TOLERANCE:
        sys.exit(f"beyond {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()

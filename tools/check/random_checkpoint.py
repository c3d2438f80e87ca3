"""Write a random OpenCLIP checkpoint of ViT-B/32's size without PyTorch, with the scales of tools/reference/make_checkpoint.py,
at which attention is not uniform. The same seed gives the same bytes.

Usage: random_checkpoint.py OUT --tokenizer tokenizer.json [--seed 0]
"""

import argparse
import json
import math
import shutil
from pathlib import Path

import numpy as np

EMBED_DIM = 512
VISION = {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}
TEXT = {"context_length": 77, "vocab_size": 49408, "layers": 12, "width": 512, "heads": 8}
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def shapes():
    """Every tensor of the model under OpenCLIP's name with PyTorch's shape."""
    width, patch, text = VISION["width"], VISION["patch_size"], TEXT["width"]
    tokens = (VISION["image_size"] // patch) ** 2 + 1
    table = {
        "visual.conv1.weight": (width, 3, patch, patch),
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (tokens, width),
        "visual.proj": (width, EMBED_DIM),
        "token_embedding.weight": (TEXT["vocab_size"], text),
        "positional_embedding": (TEXT["context_length"], text),
        "text_projection": (text, EMBED_DIM),
        "logit_scale": (),
    }
    for norm, size in {"visual.ln_pre": width, "visual.ln_post": width, "ln_final": text}.items():
        table |= {f"{norm}.weight": (size,), f"{norm}.bias": (size,)}
    for tower, size, layers in (("visual.transformer", width, VISION["layers"]), ("transformer", text, TEXT["layers"])):
        for layer in range(layers):
            table |= {f"{tower}.resblocks.{layer}.{name}": shape for name, shape in block(size).items()}
    return table


def block(width):
    hidden = 4 * width
    return {
        "ln_1.weight": (width,), "ln_1.bias": (width,),
        "attn.in_proj_weight": (3 * width, width), "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width), "attn.out_proj.bias": (width,),
        "ln_2.weight": (width,), "ln_2.bias": (width,),
        "mlp.c_fc.weight": (hidden, width), "mlp.c_fc.bias": (hidden,),
        "mlp.c_proj.weight": (width, hidden), "mlp.c_proj.bias": (width,),
    }


def values(name, shape, random):
    """Random values of a tensor: none is zero, so that each shows when it is dropped."""
    if name == "logit_scale":
        return np.float32(math.log(1 / 0.07))
    noise = random.standard_normal(shape, dtype=np.float32)
    if ".ln_" in name or name.startswith("ln_"):
        return (1 if name.endswith("weight") else 0) + np.float32(0.2) * noise
    if name.endswith("bias"):
        return np.float32(0.1) * noise
    if "in_proj_weight" in name:
        return noise * np.float32(1.5 / shape[1] ** 0.5)
    if "embedding" in name:
        return np.float32(0.5) * noise
    return noise / np.float32(math.prod(shape[1:]) ** 0.5)


def write_weights(path, seed):
    """Writes a safetensors file, a tensor at a time: the length of the header, the header, the values in its order."""
    header, at = {}, 0
    for name, shape in shapes().items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes().items():
            file.write(np.asarray(values(name, shape, random), dtype="<f4").tobytes())


def write_checkpoint(out, tokenizer, seed=0):
    """Makes the folder with configuration, tokenizer and, last, weights."""
    out.mkdir(parents=True, exist_ok=True)
    config = {
        "model_cfg": {"embed_dim": EMBED_DIM, "vision_cfg": VISION, "text_cfg": TEXT, "quick_gelu": False},
        "preprocess_cfg": {"mean": MEAN, "std": STD},
    }
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.copyfile(tokenizer, out / "tokenizer.json")
    write_weights(out / "open_clip_model.safetensors", seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write_checkpoint(given.out, given.tokenizer, given.seed)


if __name__ == "__main__":
    main()

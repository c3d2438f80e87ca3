#!/usr/bin/env python3
"""Writes a random OpenCLIP checkpoint of a real architecture with the standard library alone.

    python3 tools/gpu/checkpoint.py OUT --architecture ViT-L-14

`tools/reference/make_checkpoint.py` needs PyTorch and open_clip and draws every number; a machine that is lent for minutes may have neither,
and has no time for that. Here slices of one table of a million Gaussian numbers fill all tensors, at the same scales and under the same names.
"""

import argparse
import array
import json
import math
import pathlib
import random
import shutil
import struct

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / "data/demo/scenes-4/tokenizer.json"
ARCHITECTURES = {
    "ViT-B-32": (512, dict(layers=12, width=768, patch_size=32), dict(width=512, heads=8)),
    "ViT-B-16": (512, dict(layers=12, width=768, patch_size=16), dict(width=512, heads=8)),
    "ViT-L-14": (768, dict(layers=24, width=1024, patch_size=14), dict(width=768, heads=12)),
}
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
TABLE = 1 << 20
# Numbers that are copied at once. It is odd, so that rows of a matrix do not repeat.
SLICE = 65_521


def transformer(prefix, width, layers):
    for number in range(layers):
        block = f"{prefix}transformer.resblocks.{number}."
        yield from norm(block + "ln_1", width)
        yield block + "attn.in_proj_weight", [3 * width, width]
        yield block + "attn.in_proj_bias", [3 * width]
        yield from linear(block + "attn.out_proj", width, width)
        yield from norm(block + "ln_2", width)
        yield from linear(block + "mlp.c_fc", width, 4 * width)
        yield from linear(block + "mlp.c_proj", 4 * width, width)


def norm(name, width):
    yield name + ".weight", [width]
    yield name + ".bias", [width]


def linear(name, inputs, outputs):
    yield name + ".weight", [outputs, inputs]
    yield name + ".bias", [outputs]


def shapes(embed_dim, vision, text):
    """Names and shapes as open_clip's CLIP has them."""
    width, patch = vision["width"], vision["patch_size"]
    yield "visual.class_embedding", [width]
    yield "visual.positional_embedding", [(vision["image_size"] // patch) ** 2 + 1, width]
    yield "visual.proj", [width, embed_dim]
    yield "visual.conv1.weight", [width, 3, patch, patch]
    yield from norm("visual.ln_pre", width)
    yield from transformer("visual.", width, vision["layers"])
    yield from norm("visual.ln_post", width)
    width = text["width"]
    yield "positional_embedding", [text["context_length"], width]
    yield "text_projection", [width, embed_dim]
    yield "logit_scale", []
    yield "token_embedding.weight", [text["vocab_size"], width]
    yield from transformer("", width, text["layers"])
    yield from norm("ln_final", width)


def distribution(name, shape):
    """Mean and standard deviation, those of `randomise` in make_checkpoint.py."""
    if name == "logit_scale":
        return math.log(1 / 0.07), 0.0
    if ".ln_" in name or name.startswith("ln_"):
        return (1.0 if name.endswith("weight") else 0.0), 0.2
    if len(shape) == 1 and name.endswith("bias"):
        return 0.0, 0.1
    if "in_proj_weight" in name:
        return 0.0, 1.5 / shape[1] ** 0.5
    if "embedding" in name:
        return 0.0, 0.5
    return 0.0, math.prod(shape[1:]) ** -0.5


class Numbers:
    """Bytes of Gaussian float32 numbers."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.table = [self.random.gauss(0.0, 1.0) for _ in range(TABLE)]
        self.scaled = {}

    def slices(self, count, mean, std):
        if (mean, std) not in self.scaled:
            self.scaled[mean, std] = memoryview(array.array("f", (mean + std * value for value in self.table))).cast("B")
        table = self.scaled[mean, std]
        while count > 0:
            length = min(count, SLICE)
            start = self.random.randrange(TABLE - length)
            yield table[4 * start : 4 * (start + length)]
            count -= length


def header(tensors):
    entries, end = {}, 0
    for name, shape in tensors:
        begin, end = end, end + 4 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="ViT-B-32")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    embed_dim, vision, text = ARCHITECTURES[given.architecture]
    vision = dict(image_size=224, **vision)
    text = dict(context_length=77, vocab_size=49408, layers=12, **text)
    given.out.mkdir(parents=True, exist_ok=True)
    model = {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text, "quick_gelu": False}
    config = {"model_cfg": model, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (given.out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors, numbers = list(shapes(embed_dim, vision, text)), Numbers(given.seed)
    with open(given.out / "open_clip_model.safetensors", "wb") as file:
        file.write(header(tensors))
        for name, shape in tensors:
            for part in numbers.slices(math.prod(shape), *distribution(name, shape)):
                file.write(part)
    # Last: whoever waits for the checkpoint waits for this file.
    shutil.copy(TOKENIZER, given.out / "tokenizer.json")


if __name__ == "__main__":
    main()

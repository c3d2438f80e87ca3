"""Write a tiny world to run the pipeline over: the random checkpoint of crates/model's tests with a tokenizer, forty images in
two classes, one damaged image, and a tagged pool.

Usage: make_toy_world.py OUT
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

COLORS, ANIMALS, NUMBERS = ["red", "blue", "green"], ["cat", "dog", "bird", "fish"], ["two", "three"]
MODEL = Path(__file__).resolve().parents[2] / "crates/model/tests/data/model/quick-gelu"


def tokenizer() -> dict:
    words = ["[UNK]", "a", "photo", "of", *COLORS, *ANIMALS, *NUMBERS]
    vocabulary = {word: number for number, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": 62, "<|endoftext|>": 63}
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }


def main() -> None:
    out = Path(sys.argv[1])
    model = out / "toy-clip"
    model.mkdir(parents=True)
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        shutil.copy(MODEL / name, model / name)
    (model / "tokenizer.json").write_text(json.dumps(tokenizer()))
    random = np.random.default_rng(0)
    for number in range(40):
        folder = out / "images" / ("even" if number % 2 == 0 else "odd")
        folder.mkdir(parents=True, exist_ok=True)
        coarse = random.integers(0, 255, (5, 6, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((60, 50), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:03}.{'png' if number % 3 else 'jpg'}")
    (out / "images" / "odd" / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a JPEG")
    rows = [f"A {color} {animal},colors" for color in COLORS for animal in ANIMALS]
    rows += [f"A photo of {number} {animal},counting" for number in NUMBERS for animal in ANIMALS]
    (out / "pool.csv").write_text("text,category\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()

"""Train a small supervised ViT on the rendered world with timm, give it the texts of a CLIP by `headspan align`, and compare each head's label
with the attribute that explains most of its variance.

Usage: aligned_tower.py OUT --to CLIP [--headspan PROGRAM] [--scenes N] [--epochs N]            (with torch, timm, pyarrow, pillow)

The tower never sees a text: it learns the eleven attributes of a scene as classes. Everything below OUT is made once; the same call continues.
"""

import argparse
import io
import json
import math
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

ATTRIBUTES = ["shapes", "colors", "patterns", "counting", "sizes", "positions", "backgrounds", "weather", "time of day", "styles", "letters"]
ARCHITECTURE = "vit_tiny_patch16_224"
SIZES = {"img_size": 64, "patch_size": 16, "embed_dim": 128, "depth": 4, "num_heads": 8, "num_classes": 0}
BATCH = 128
# Seeds of the worlds: to learn from, to measure on and align with, and that of headspan's own demo.
LEARN, ALIGN, LOOK = 11, 12, 1


def render(program: str, folder: Path, scenes: int, seed: int) -> Path:
    if not (folder / "scenes.parquet").is_file():
        command = [program, "scenes", "--out", folder, "--scenes", str(scenes), "--seed", str(seed), "--combinations", "all"]
        subprocess.run(command, check=True)
    return folder


def world(folder: Path) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Pixels `[scenes, 3, 64, 64]` as bytes, classes `[scenes, attributes]`, and the number of values of each attribute."""
    scenes = pq.read_table(folder / "scenes.parquet").to_pandas()
    rows = pq.read_table(folder / "images").to_pandas()
    decoded = {row["path"]: np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in rows["image"]}
    if len(decoded) != len(scenes):
        raise SystemExit(f"{folder} has {len(decoded)} images of {len(scenes)} scenes")
    # Shards hold the scenes in their order.
    pixels = torch.from_numpy(np.stack(list(decoded.values()))).permute(0, 3, 1, 2)
    values = [sorted(scenes[name].unique()) for name in ATTRIBUTES]
    classes = [scenes[name].map({value: at for at, value in enumerate(own)}) for name, own in zip(ATTRIBUTES, values)]
    return pixels, torch.from_numpy(np.stack(classes, 1).astype(np.int64)), [len(own) for own in values]


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float() / 127.5 - 1.0


def train(folder: Path, learn: Path, measure: Path, epochs: int) -> None:
    """Write a folder as timm's repositories have it, and `training.json` beside it."""
    torch.manual_seed(0)
    pixels, classes, counts = world(learn)
    tower = timm.create_model(ARCHITECTURE, **SIZES)
    heads = torch.nn.ModuleList(torch.nn.Linear(SIZES["embed_dim"], count) for count in counts)
    parameters = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    steps = epochs * (len(pixels) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / (0.05 * steps)) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    )
    started, step = time.time(), 0
    for epoch in range(epochs):
        for chosen in torch.randperm(len(pixels)).split(BATCH):
            if len(chosen) < BATCH:
                continue
            features = tower(normalised(pixels[chosen]))
            loss = sum(torch.nn.functional.cross_entropy(head(features), classes[chosen, at]) for at, head in enumerate(heads))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
        print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.2f}, {step * BATCH / (time.time() - started):.0f} images/s", flush=True)
    found = accuracy(tower, heads, measure)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tower.state_dict().items()}, folder / "model.safetensors")
    (folder / "training.json").write_text(json.dumps({"scenes": len(pixels), "epochs": epochs, "accuracy": found}, indent=2) + "\n")
    (folder / "config.json").write_text(json.dumps({
        "architecture": ARCHITECTURE, "num_classes": 0, "num_features": SIZES["embed_dim"], "global_pool": "token", "model_args": SIZES,
        "pretrained_cfg": {"input_size": [3, 64, 64], "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center",
                           "mean": [0.5] * 3, "std": [0.5] * 3},
    }, indent=2) + "\n")


@torch.inference_mode()
def accuracy(tower: torch.nn.Module, heads: torch.nn.ModuleList, folder: Path) -> dict[str, float]:
    """Share of scenes whose attribute is told, on scenes that training did not see."""
    tower.eval()
    pixels, classes, _ = world(folder)
    features = torch.cat([tower(normalised(some)) for some in pixels.split(BATCH)])
    tower.train()
    return {name: (head(features).argmax(1) == classes[:, at]).float().mean().item() for at, (name, head) in enumerate(zip(ATTRIBUTES, heads))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--to", required=True, help="the CLIP: data/demo/scenes-4")
    parser.add_argument("--headspan", default="headspan")
    parser.add_argument("--scenes", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=6)
    given = parser.parse_args()
    out, program = given.out, given.headspan
    learn = render(program, out / "learn", given.scenes, LEARN)
    align = render(program, out / "align", 4_000, ALIGN)
    look = render(program, out / "look", 2_000, LOOK)
    if not (out / "tower/config.json").is_file():
        train(out / "tower", learn, align, given.epochs)
    print((out / "tower/training.json").read_text())
    run = lambda *words: subprocess.run([program, *map(str, words)], check=True, text=True, stdout=subprocess.PIPE).stdout
    print(run("align", "--images", align / "images", "--from", out / "tower", "--to", given.to, "--out", out / "aligned"))
    print(run("run-all", "--checkpoint", out / "aligned", "--images", look / "images", "--classes", look / "classes.txt",
              "--texts", look / "descriptions.csv", "--dataset", "world", "--runs", out / "runs"))
    print(run("truth", "aligned", "--dataset", "world", "--runs", out / "runs", "--attributes", look / "scenes.parquet"))


if __name__ == "__main__":
    main()

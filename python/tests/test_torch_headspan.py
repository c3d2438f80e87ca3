"""headspan's own numbers for a folder from PyTorch are those of the module, and of the model."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
open_clip = pytest.importorskip("open_clip", reason="OpenCLIP is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("timm", reason="timm is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

import torch_models as models
from PIL import Image

from headspan._torch import Checkpoint, from_open_clip, from_timm, from_transformers, run_module

BINARY = os.environ.get("HEADSPAN_BIN")
pytestmark = pytest.mark.skipif(not BINARY, reason="HEADSPAN_BIN does not name the command line")

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
POOL = ["a red cat", "a photo of a dog", "two blue bird", "a green fish", "three fish", "a photo"]


def headspan(*arguments: object) -> None:
    command = [str(BINARY), "--quiet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def preprocess() -> Any:
    return open_clip.image_transform(models.SIZE, is_train=False, mean=MEAN, std=STD)


def made(library: str, quick_gelu: bool, folder: Path) -> tuple[Any, Any, Checkpoint]:
    """A model, the model of its texts, and its checkpoint."""
    tokenizer = models.word_tokenizer()
    if library == "open_clip":
        model = models.open_clip_model(quick_gelu)
        return model, model, from_open_clip(model, tokenizer, preprocess(), folder=folder)
    if library == "timm":
        model, text = models.timm_model(quick_gelu), models.open_clip_model(quick_gelu)
        options = {"text": text, "tokenizer": tokenizer, "preprocess": preprocess()}
        return model, text, from_timm(model, folder=folder, **options)
    # Another epsilon of the LayerNorms, which one of the two formats of a configuration can say.
    model = models.transformers_model(quick_gelu, eps=1e-3 if quick_gelu else 1e-5)
    size = {"height": models.SIZE, "width": models.SIZE}
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": models.SIZE}, crop_size=size, image_mean=MEAN, image_std=STD
    )
    processor = type("Processor", (), {"image_processor": images, "tokenizer": tokenizer})()
    return model, model, from_transformers(model, processor, folder=folder)


def run(checkpoint: Checkpoint, tmp_path: Path, texts: Sequence[str] = POOL) -> tuple[Path, list[Path]]:
    """The run of a few images with all layers, and the images."""
    paths = models.pictures(tmp_path / "images")
    pool = tmp_path / "pool.csv"
    pool.write_text("text,category\n" + "".join(f"{text},objects\n" for text in texts))
    common = (
        "--images",
        tmp_path / "images",
        "--texts",
        pool,
        "--runs",
        tmp_path / "runs",
        "--device",
        "cpu",
    )
    headspan("run-all", "--checkpoint", checkpoint.path, *common, "--k", 2, "--layers", "all")
    return tmp_path / "runs" / "images" / checkpoint.name, paths


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("library", ["open_clip", "transformers", "timm"])
def test_contributions_representation_and_texts(library: str, quick_gelu: bool, tmp_path: Path) -> None:
    model, texts, checkpoint = made(library, quick_gelu, tmp_path / f"{library}-clip")
    folder, paths = run(checkpoint, tmp_path)
    images = torch.stack([preprocess()(Image.open(path)) for path in paths])
    module = run_module(checkpoint, "all")
    with torch.no_grad():
        ours = module(images)

    part = parquet.read_table(next((folder / "activations").glob("part-*.parquet")))
    stored = np.stack(part["representation"].to_numpy())
    assert models.off(torch.from_numpy(stored), ours.representation) < 1e-5
    assert models.off(torch.from_numpy(stored), models.image_features(model, images)) < 1e-5

    contributions = ours.contributions.unflatten(1, (models.LAYERS, models.HEADS))
    for layer, head in [(0, 3), (3, 1), (models.LAYERS - 1, 0)]:
        out = tmp_path / f"L{layer}.H{head}.npy"
        headspan("export", "--heads", f"L{layer}.H{head}", "--out", out, "--runs", tmp_path / "runs")
        exported = torch.from_numpy(np.load(out)).reshape(len(paths), -1)
        assert (
            float((exported - contributions[:, layer, head]).abs().max() / contributions.abs().max()) < 1e-5
        )

    readout = parquet.read_table(folder / "readout.parquet").to_pylist()
    expected = module.readout().detach()
    for index, row in enumerate(sorted(readout, key=lambda row: (row["layer"], row["head"]))):
        found = torch.tensor(row["readout"], dtype=torch.float32).reshape(expected.shape[1:])
        assert models.off(found, expected[index]) < 1e-5

    embedded = parquet.read_table(folder / "texts.parquet").to_pylist()
    assert [row["text"] for row in embedded] == POOL
    for row in embedded:
        ids = models.word_ids(row["text"])
        own = models.text_features(texts, torch.tensor([ids + [0] * (12 - len(ids))]))[0]
        assert models.off(torch.tensor(row["embedding"], dtype=torch.float32), own / own.norm()) < 1e-5


CLIP_TEXTS = ["a photo of a cat", "It's 24x été!", "don't   I'll\tgo"]


@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_clips_own_tokenizer(library: str, tmp_path: Path) -> None:
    simple = open_clip.get_tokenizer("ViT-B-32", context_length=12)
    if library == "open_clip":
        model = models.open_clip_model(True, vocabulary=49408)
        checkpoint = from_open_clip(model, simple, preprocess(), folder=tmp_path / "clip")
    else:
        model = models.transformers_model(True, vocabulary=49408, end=49407)
        merges = [tuple(pair) for pair in sorted(simple.bpe_ranks, key=simple.bpe_ranks.get)]
        special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
        vocabulary = {special.get(token, token): index for token, index in simple.encoder.items()}
        tokenizer = transformers.CLIPTokenizer(
            vocab=vocabulary, merges=[pair for pair in merges if len(pair) == 2]
        )
        size = {"height": models.SIZE, "width": models.SIZE}
        images = transformers.CLIPImageProcessor(size={"shortest_edge": models.SIZE}, crop_size=size)
        processor = transformers.CLIPProcessor(images, tokenizer)
        checkpoint = from_transformers(model, processor, folder=tmp_path / "clip")
        assert tokenizer(CLIP_TEXTS)["input_ids"] == [
            [49406, *simple.encode(text), 49407] for text in CLIP_TEXTS
        ]
    folder, _ = run(checkpoint, tmp_path, CLIP_TEXTS)
    embedded = parquet.read_table(folder / "texts.parquet").to_pylist()
    assert len(embedded) == len(CLIP_TEXTS)
    for row, text in zip(embedded, CLIP_TEXTS, strict=True):
        own = models.text_features(model, simple([text]))[0]
        assert models.off(torch.tensor(row["embedding"], dtype=torch.float32), own / own.norm()) < 1e-5

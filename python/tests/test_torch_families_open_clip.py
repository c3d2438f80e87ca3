"""Models of OpenCLIP that are no plain CLIP become folders; headspan's numbers over them are the model's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
open_clip = pytest.importorskip("open_clip", reason="OpenCLIP is not installed")
pytest.importorskip("timm", reason="timm is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import torch_families as families
import torch_models as models
from PIL import Image
from torch_families import Made, reference

import headspan
from headspan._torch import Checkpoint, UnsupportedModel, from_open_clip, run_module

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
TEXTS = ["a red cat", "two dog", "a photo of a bird", "green fish"]


def preprocess(size: int, mode: str = "shortest") -> Any:
    return open_clip.image_transform(size, is_train=False, mean=MEAN, std=STD, resize_mode=mode)


def side(model: Any) -> int:
    return int(model.visual.image_size[0])


def all_runs(checkpoint: Checkpoint, tmp_path: Path) -> tuple[headspan.Run, list[Path]]:
    """Every stage over a few images with all layers."""
    paths = models.pictures(tmp_path / "images", 6)
    [run] = headspan.run_all(
        checkpoint=checkpoint, images=tmp_path / "images", runs=tmp_path / "runs", texts=TEXTS, layers="all",
        device="cpu", k=2, rank=3, progress=False,
    )  # fmt: skip
    return run, paths


def check_images(found: Made, run: headspan.Run, pixels: Any, paths: list[Path]) -> None:
    """Representation, contributions of all heads and the identity."""
    dense = reference.decompose(found.tower, pixels)
    with torch.no_grad():
        own = found.represent(pixels)
    assert models.off(dense["repr"], own) < 1e-5
    stored = np.stack([np.asarray(run._native.representation(("file", str(path)))) for path in paths])
    assert models.off(torch.from_numpy(stored), own) < 1e-5
    expected, whole = dense["attn"], dense["mlp"].sum(1)
    largest = max(float(expected.abs().max()), 1.0)
    for layer in range(expected.shape[1]):
        for head in range(expected.shape[2]):
            ours = torch.from_numpy(run[f"L{layer}.H{head}"].contributions().copy())
            assert float((ours - expected[:, layer, head]).abs().max()) < 1e-5 * largest
            whole = whole + ours
    assert models.off(whole, own / own.norm(dim=-1, keepdim=True)) < 1e-5


@pytest.mark.parametrize("case", families.OPEN_CLIP)
def test_representation_contributions_identity_and_texts(case: str, tmp_path: Path) -> None:
    found = families.OPEN_CLIP[case]()
    transform = preprocess(side(found.model))
    checkpoint = from_open_clip(found.model, models.word_tokenizer(), transform, folder=tmp_path / case)
    assert "embeddings of 2 texts" in " ".join(checkpoint.checked)
    run, paths = all_runs(checkpoint, tmp_path)
    check_images(found, run, torch.stack([transform(Image.open(path)) for path in paths]), paths)
    ids = torch.zeros(len(TEXTS), 12, dtype=torch.int64)
    for row, text in enumerate(TEXTS):
        ids[row, : len(models.word_ids(text))] = torch.tensor(models.word_ids(text))
    with torch.no_grad():
        own = found.model.encode_text(ids)
    embedded = torch.from_numpy(np.asarray(run._native.embed(TEXTS)).copy())
    assert models.off(embedded, own / own.norm(dim=-1, keepdim=True)) < 1e-5


def test_siglip(tmp_path: Path) -> None:
    """True geometry, as its name says the sizes. Contributions are checked in small, with timm's tower."""
    found = families.open_clip_siglip()
    tokenizer = families.padded_tokenizer()
    transform = preprocess(256, "squash")
    checkpoint = from_open_clip(found.model, tokenizer, transform, folder=tmp_path / "siglip")
    config = json.loads((checkpoint.path / "open_clip_config.json").read_text())
    assert config["preprocess_cfg"]["resize_mode"] == "squash"
    assert config["model_cfg"]["vision_cfg"]["timm_model_name"] == "vit_base_patch32_siglip_256"
    images, runs = tmp_path / "images", tmp_path / "runs"
    paths = models.pictures(images, 2)
    (tmp_path / "texts.txt").write_text("two red birds\n")
    headspan.command(
        "extract", checkpoint=checkpoint, images=images, runs=runs, texts=tmp_path / "texts.txt",
        layers="last:1", device="cpu",
    )  # fmt: skip
    run = headspan.open(runs / "images" / "siglip", device="cpu")
    pixels = torch.stack([transform(Image.open(path)) for path in paths])
    with torch.no_grad():
        own = found.represent(pixels)
    stored = np.stack([np.asarray(run._native.representation(("file", str(path)))) for path in paths])
    assert models.off(torch.from_numpy(stored), own) < 1e-5


def test_the_name_of_an_architecture_counts_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = families.OPEN_CLIP["trunk"]()
    made = from_open_clip(found.model, folder=tmp_path / "made")
    cfg = json.loads((made.path / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: dict(cfg) if name == "ViT-mine" else None)
    # A tower that was not made by timm's `create_model` does not know its name.
    found.model.visual.trunk.pretrained_cfg = {}
    with pytest.raises(UnsupportedModel, match="unknown architecture") as raised:
        from_open_clip(found.model, folder=tmp_path / "other")
    assert "architecture=" in (raised.value.hint or "")
    named = from_open_clip(found.model, architecture="ViT-mine", folder=tmp_path / "named")
    assert (named.path / "open_clip_config.json").read_text() == (
        made.path / "open_clip_config.json"
    ).read_text()
    with pytest.raises(headspan.TorchInputError, match="no architecture `ViT-other`"):
        from_open_clip(found.model, architecture="ViT-other", folder=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_decoder_of_coca_is_left_out(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    checkpoint = from_open_clip(families.coca().model, folder=tmp_path / "coca")
    assert any("decoder" in note for note in checkpoint.notes)
    assert not any(
        name.startswith("text_decoder") for name in load_file(checkpoint.path / "open_clip_model.safetensors")
    )


@pytest.mark.parametrize("case", ["layer-scale", "mean", "coca", "trunk"])
def test_modules_are_refused(case: str, tmp_path: Path) -> None:
    checkpoint = from_open_clip(families.OPEN_CLIP[case]().model, folder=tmp_path / case)
    with pytest.raises(UnsupportedModel, match="no plain CLIP") as raised:
        run_module(checkpoint)
    assert "headspan export" in (raised.value.hint or "")


def test_the_same_model_in_another_float_type_is_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = families.OPEN_CLIP["mean"]().model.bfloat16()
    first = from_open_clip(model)
    assert next(model.parameters()).dtype == torch.bfloat16
    again = from_open_clip(model.double())
    assert again.path == first.path

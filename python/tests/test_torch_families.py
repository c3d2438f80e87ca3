"""Models of transformers and timm beside CLIP become folders; headspan's numbers of them are the models'."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("open_clip", reason="OpenCLIP is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

import torch_families as families
import torch_models as models
from torch_families import Made, reference

import headspan
from headspan._torch import Checkpoint, from_open_clip, from_timm, from_transformers

CASES: dict[str, Callable[[], Made]] = {
    **{f"transformers-{name}": build for name, build in families.TRANSFORMERS.items()},
    **{f"timm-{name}": build for name, build in families.TIMM.items()},
}
#: Mean and deviation of the preprocess of the tests.
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def transform(side: int = families.SIDE, squash: bool = False) -> Any:
    """A preprocess of torchvision that resizes by Pillow."""
    from torchvision import transforms

    bicubic = transforms.InterpolationMode.BICUBIC
    size = families.SIDE
    steps = [transforms.Resize((size, size) if squash else side, interpolation=bicubic)]
    return transforms.Compose(
        [*steps, transforms.CenterCrop(size), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )


def processor(squash: bool = True, **keys: Any) -> Any:
    """An image processor of transformers whose filter is bicubic."""
    square = {"height": families.SIDE, "width": families.SIDE}
    if squash:
        return transformers.SiglipImageProcessor(size=square, image_mean=MEAN, image_std=STD, **keys)
    size = {"shortest_edge": families.SIDE + 5}
    return transformers.CLIPImageProcessor(
        size=size, crop_size=square, image_mean=MEAN, image_std=STD, **keys
    )


def made(case: str, build: Callable[[], Made], folder: Path) -> tuple[Made, Checkpoint, Any]:
    """A model, its checkpoint and its preprocess as a function of an image."""
    found = build()
    if case.startswith("timm"):
        preprocess = transform(families.SIDE + 3)
        return found, from_timm(found.model, preprocess=preprocess, folder=folder), preprocess
    if case == "transformers-siglip":
        tokenizer = families.padded_tokenizer()
        both = type("Processor", (), {"image_processor": processor(), "tokenizer": tokenizer})()
        checkpoint = from_transformers(found.model, both, folder=folder)
    else:
        checkpoint = from_transformers(found.model, processor(), folder=folder)
    return found, checkpoint, transform(squash=True)


def extracted(checkpoint: Checkpoint, tmp_path: Path) -> tuple[headspan.Run, list[Path]]:
    """A run of a few images with all layers, and the images."""
    paths = models.pictures(tmp_path / "images", 4)
    headspan.command(
        "extract",
        checkpoint=checkpoint,
        images=tmp_path / "images",
        texts=tmp_path / "texts.txt" if (tmp_path / "texts.txt").exists() else None,
        runs=tmp_path / "runs",
        layers="all",
        device="cpu",
    )
    return headspan.open(tmp_path / "runs" / "images" / checkpoint.name, device="cpu"), paths


@pytest.mark.parametrize("case", CASES)
def test_representation_contributions_and_identity(case: str, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "texts.txt").write_text("red cat\ntwo dogs\n")
    found, checkpoint, preprocess = made(case, CASES[case], tmp_path / case)
    assert len(checkpoint.checked) >= 3 and "representation of two test images" in " ".join(
        checkpoint.checked
    )
    run, paths = extracted(checkpoint, tmp_path)
    pixels = torch.stack([preprocess(Image.open(path)) for path in paths])
    dense = reference.decompose(found.tower, pixels)
    with torch.no_grad():
        own = found.represent(pixels)
    assert models.off(dense["repr"], own) < 1e-5

    representations = np.stack(
        [np.asarray(run._native.representation(("file", str(path)))) for path in paths]
    )
    assert models.off(torch.from_numpy(representations), own) < 1e-5
    expected = dense["attn"]
    whole = dense["mlp"].sum(1)
    largest = float(expected.abs().max())
    for layer in range(families.LAYERS):
        for head in range(families.HEADS):
            ours = torch.from_numpy(run[f"L{layer}.H{head}"].contributions().copy())
            assert float((ours - expected[:, layer, head]).abs().max()) < 1e-5 * max(largest, 1.0)
            whole = whole + ours
    unit = own / own.norm(dim=-1, keepdim=True)
    assert models.off(whole, unit) < 1e-5


def test_texts_of_siglip(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("red cat\ntwo dogs\n")
    found, checkpoint, _ = made("transformers-siglip", families.siglip, tmp_path / "siglip")
    assert "embeddings of 2 texts" in " ".join(checkpoint.checked)
    run, _ = extracted(checkpoint, tmp_path)
    texts = ["two dogs", "a red cat"]
    tokenizer = families.padded_tokenizer()
    ids = tokenizer(
        texts, padding="max_length", max_length=12, truncation=True, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        own = found.model.text_model(input_ids=ids).pooler_output
    embedded = torch.from_numpy(np.asarray(run._native.embed(texts)).copy())
    assert models.off(embedded, own / own.norm(dim=-1, keepdim=True)) < 1e-5


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("case", ["transformers-siglip", "timm-registers"])
def test_the_same_model_is_the_same_folder(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make = from_timm if case.startswith("timm") else from_transformers
    build = CASES[case]
    first = make(build().model)
    content = files(first.path)
    times = {path.name: path.stat().st_mtime_ns for path in first.path.iterdir()}
    again = make(build().model)
    assert again.path == first.path and files(again.path) == content
    assert {path.name: path.stat().st_mtime_ns for path in again.path.iterdir()} == times
    assert not list((tmp_path / "cache").rglob(".headspan*"))

    other = build().model
    with torch.no_grad():
        max(other.parameters(), key=lambda tensor: tensor.numel()).mul_(1.5)
    assert make(other).path != first.path
    with pytest.raises(headspan.FolderInUse, match="another checkpoint"):
        make(other, folder=first.path)
    assert files(first.path) == content


@pytest.mark.parametrize("case", ["transformers-siglip", "transformers-dinov3", "timm-siglip", "timm-eva02"])
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_any_float_type(case: str, dtype: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    make = from_timm if case.startswith("timm") else from_transformers
    model = CASES[case]().model.to(getattr(torch, dtype)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = model.config.to_dict() if hasattr(model, "config") else None
    checkpoint = make(model, folder=tmp_path / "model")
    assert model.training
    assert config is None or model.config.to_dict() == config
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype and torch.equal(tensor, before[name])
    written = load_file(checkpoint.path / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.float32}
    for name, tensor in written.items():
        assert torch.equal(tensor, before[name].float())
    assert any("float64" in note for note in checkpoint.notes) == (dtype == "float64")


def test_sizes_of_timm_are_those_of_the_module(tmp_path: Path) -> None:
    model = families.TIMM["registers"]().model
    checkpoint = from_timm(model, folder=tmp_path / "model")
    config = json.loads((checkpoint.path / "config.json").read_text())
    assert config["architecture"] == "vit_small_patch14_reg4_dinov2"
    assert config["model_args"] == {
        "img_size": 24, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2, "reg_tokens": 2
    }  # fmt: skip
    facts = {fact["name"]: fact["value"] for fact in headspan.inspect(checkpoint)["facts"]}
    assert "3 × 3 patches and 3 before them" in facts["tokens"]
    assert any("headspan.align" in note for note in checkpoint.notes)


def test_preprocessing_of_timm(tmp_path: Path) -> None:
    model = families.TIMM["dinov2"]().model
    cases = [
        (transform(), 1.0, "center"),
        (transform(30), 24 / 30, "center"),
        (transform(squash=True), 1.0, "squash"),
    ]
    for number, (preprocess, share, mode) in enumerate(cases):
        checkpoint = from_timm(model, preprocess=preprocess, folder=tmp_path / str(number))
        cfg = json.loads((checkpoint.path / "config.json").read_text())["pretrained_cfg"]
        assert (cfg["crop_pct"], cfg["crop_mode"]) == (pytest.approx(share), mode)
        assert cfg["mean"] == MEAN and cfg["std"] == STD
    # timm's own transform of the model's data configuration.
    own = timm.data.create_transform(
        **timm.data.resolve_data_config({"input_size": (3, 24, 24)}, model=model), is_training=False
    )
    checkpoint = from_timm(model, preprocess=own, folder=tmp_path / "own")
    assert "each by its own preprocess" in " ".join(checkpoint.checked)


def test_processors_of_transformers(tmp_path: Path) -> None:
    model = families.TRANSFORMERS["dinov2"]().model
    for number, images in enumerate((processor(), processor(squash=False), transform())):
        checkpoint = from_transformers(model, images, folder=tmp_path / str(number))
        assert "each by its own preprocess" in " ".join(checkpoint.checked)
        assert (checkpoint.path / "preprocessor_config.json").is_file()
    bigger = transformers.CLIPImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": 40, "width": 40}, image_mean=MEAN, image_std=STD
    )
    checkpoint = from_transformers(model, bigger, folder=tmp_path / "bigger")
    facts = {fact["name"]: fact["value"] for fact in headspan.inspect(checkpoint)["facts"]}
    assert facts["preprocessing"].startswith("40 pixels")


def test_a_classifier_is_left_out(tmp_path: Path) -> None:
    config = transformers.ViTConfig(**families.SIZES, num_labels=7)
    model = transformers.ViTForImageClassification(config).eval()
    reference.randomise(model, 3)
    checkpoint = from_transformers(model, processor(), folder=tmp_path / "model")
    assert any("classifier of `ViTForImageClassification`" in note for note in checkpoint.notes)
    assert json.loads((checkpoint.path / "config.json").read_text())["architectures"] == ["ViTModel"]


def test_a_tower_in_memory_gets_the_texts_of_a_clip(tmp_path: Path) -> None:
    tower = from_timm(families.TIMM["dinov2"]().model, folder=tmp_path / "dinov2")
    clip = from_open_clip(models.open_clip_model(False), models.word_tokenizer(), folder=tmp_path / "clip")
    models.pictures(tmp_path / "images", 40)
    aligned = headspan.align(
        images=tmp_path / "images",
        from_=tower,
        to=clip,
        out=tmp_path / "aligned",
        device="cpu",
        progress=False,
    )
    assert aligned.figures["fitted"] + aligned.figures["held_out"] == 40
    assert "texts" in {fact["name"] for fact in headspan.inspect(aligned)["facts"]}

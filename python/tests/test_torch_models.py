"""Models of each library become folders with the same features; the model stays as it was."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("open_clip", reason="OpenCLIP is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("timm", reason="timm is not installed")

import torch_models as models

from headspan._torch import Checkpoint, from_open_clip, from_timm, from_transformers, run_module

LIBRARIES = ("open_clip", "transformers", "timm")


def made(library: str, quick_gelu: bool, folder: Path, **options: Any) -> tuple[Any, Checkpoint]:
    if library == "open_clip":
        model = models.open_clip_model(quick_gelu)
        return model, from_open_clip(model, models.word_tokenizer(), folder=folder, **options)
    if library == "transformers":
        model = models.transformers_model(quick_gelu)
        return model, from_transformers(model, models.word_tokenizer(), folder=folder, **options)
    model, text = models.timm_model(quick_gelu), models.open_clip_model(quick_gelu)
    return model, from_timm(model, text=text, tokenizer=models.word_tokenizer(), folder=folder, **options)


def open_clip_of(folder: Path) -> Any:
    """The model that OpenCLIP makes of a folder, strictly."""
    from open_clip.model import CLIP
    from safetensors.torch import load_file

    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    model = CLIP(**config)
    weights = load_file(folder / "open_clip_model.safetensors")
    missing, unexpected = model.load_state_dict(weights, strict=False)
    # timm has no temperature, and no feature depends on it.
    assert unexpected == [] and set(missing) <= {"logit_scale"}
    return model.eval()


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("library", LIBRARIES)
def test_features_and_contributions_are_those_of_the_model(
    library: str, quick_gelu: bool, tmp_path: Path
) -> None:
    from decompose import decompose

    model, checkpoint = made(library, quick_gelu, tmp_path / "clip")
    images = models.pixels(3)
    module = run_module(checkpoint, "all")
    found = module(images)
    assert models.off(found.representation, models.image_features(model, images)) < 1e-5

    reference = decompose(open_clip_of(checkpoint.path).visual, images, tokens=False)
    contributions = found.contributions.unflatten(1, (models.LAYERS, models.HEADS))
    assert models.off(contributions, reference["attn"]) < 1e-5
    whole = found.contributions.sum(1) + reference["mlp"].sum(1)
    assert models.off(whole, found.representation / found.representation.norm(dim=-1, keepdim=True)) < 1e-5
    assert found.heads == [(layer, head) for layer in range(models.LAYERS) for head in range(models.HEADS)]

    other = run_module(checkpoint, "all", quick_gelu=not quick_gelu)(images)
    assert models.off(other.representation, found.representation) > 1e-3, (
        "the activation must matter in this test"
    )


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("library", LIBRARIES)
def test_texts_are_those_of_the_model(library: str, quick_gelu: bool, tmp_path: Path) -> None:
    model, checkpoint = made(library, quick_gelu, tmp_path / "clip")
    ids = torch.zeros(2, 12, dtype=torch.int64)
    for row, text in enumerate(["a photo of a cat", "two red dog"]):
        ids[row, : len(models.word_ids(text))] = torch.tensor(models.word_ids(text))
    own = models.text_features(models.open_clip_model(quick_gelu) if library == "timm" else model, ids)
    assert models.off(models.text_features(open_clip_of(checkpoint.path), ids), own) < 1e-5
    assert sum("features of" in line for line in checkpoint.checked) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_stored_as_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = models.open_clip_model(True).to(dtype)
    checkpoint = from_open_clip(model, folder=tmp_path / "clip")
    assert model.visual.proj.dtype == dtype
    stored = load_file(checkpoint.path / "open_clip_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float32}
    assert torch.equal(stored["visual.proj"].to(dtype), model.visual.proj)
    images = models.pixels(2)
    exact = models.image_features(model.float(), images)
    assert models.off(run_module(checkpoint)(images).representation, exact) < 1e-5


def test_a_half_model_and_the_same_in_float_give_the_same_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    half = models.open_clip_model(False).half()
    first = from_open_clip(half)
    assert from_open_clip(half.float()).path == first.path


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = models.open_clip_model(False, patch_dropout=0.5)
    model.train()
    model.visual.ln_post.eval()
    model.visual.proj.requires_grad_(False)
    model.visual.conv1.weight.grad = torch.ones_like(model.visual.conv1.weight)
    before = {name: (value, value.clone(), value.requires_grad) for name, value in model.named_parameters()}
    modes = [part.training for part in model.modules()]
    torch.manual_seed(5)
    states = torch.get_rng_state(), random.getstate()
    checkpoint = from_open_clip(model, folder=tmp_path / "clip")
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert [part.training for part in model.modules()] == modes
    for name, value in model.named_parameters():
        same, copy, needs_gradient = before[name]
        assert value is same and torch.equal(value, copy) and value.requires_grad == needs_gradient
    assert bool((model.visual.conv1.weight.grad == 1).all())
    module = run_module(checkpoint)
    assert all(
        own.data_ptr() != value.data_ptr() for own in module.parameters() for value in model.parameters()
    )


def test_neither_the_default_device_nor_autocast_matters(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = models.transformers_model(True)
    plain = from_transformers(model)
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
            assert from_transformers(model).path == plain.path
            module = run_module(plain)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert (module.proj.device.type, module.proj.dtype) == ("cpu", torch.float32)


def test_kernels_for_gpus_are_not_needed(tmp_path: Path) -> None:
    model = models.transformers_model(True)
    for part, kernel in (
        (model.config, "flash_attention_2"),
        (model.vision_model.config, "flash_attention_3"),
    ):
        part._attn_implementation_internal = kernel
    from_transformers(model, folder=tmp_path / "clip")
    assert model.config._attn_implementation == "flash_attention_2"
    assert model.vision_model.config._attn_implementation == "flash_attention_3"


def test_wrapped_models_are_unwrapped(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = models.open_clip_model(True)
    plain = from_open_clip(model)
    assert from_open_clip(torch.compile(model)).path == plain.path
    assert from_open_clip(torch.nn.DataParallel(torch.compile(model))).path == plain.path
    model.visual = torch.compile(model.visual)
    assert from_open_clip(model).path == plain.path
    clip = models.transformers_model(False)
    assert from_transformers(torch.compile(clip)).path == from_transformers(clip).path


def test_a_text_tower_below_text_and_linear_projection(tmp_path: Path) -> None:
    from open_clip.model import CustomTextCLIP

    vision = {"image_size": 48, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8}
    text = {"context_length": 12, "vocab_size": 64, "width": 16, "heads": 2, "layers": 2}
    model = models.randomise(CustomTextCLIP(24, vision, text)).eval()
    checkpoint = from_open_clip(model, folder=tmp_path / "clip")
    images = models.pixels(2)
    assert (
        models.off(run_module(checkpoint)(images).representation, models.image_features(model, images)) < 1e-5
    )
    assert open_clip_of(checkpoint.path).visual.proj.shape == (32, 24)


@pytest.mark.parametrize(("vision", "text"), [(1e-2, 1e-2), (1e-2, 1e-5), (1e-5, 1e-2)])
def test_another_epsilon_is_kept(vision: float, text: float, tmp_path: Path) -> None:
    model = models.transformers_model(True, eps=vision, text_eps=text)
    checkpoint = from_transformers(model, models.word_tokenizer(), folder=tmp_path / "clip")
    assert not (checkpoint.path / "open_clip_config.json").exists()
    images = models.pixels(2)
    assert (
        models.off(run_module(checkpoint)(images).representation, models.image_features(model, images)) < 1e-5
    )


def test_a_text_tower_may_come_from_a_folder_with_its_tokenizer(tmp_path: Path) -> None:
    other, text = made("transformers", False, tmp_path / "text")
    model = models.timm_model(False)
    checkpoint = from_timm(model, text=text, folder=tmp_path / "joined")
    assert (checkpoint.path / "tokenizer.json").read_bytes() == (text.path / "tokenizer.json").read_bytes()
    ids = torch.tensor([models.word_ids("a red fish")])
    ids = torch.nn.functional.pad(ids, (0, 12 - ids.shape[1]))
    assert (
        models.off(models.text_features(open_clip_of(checkpoint.path), ids), models.text_features(other, ids))
        < 1e-5
    )


def test_a_checkpoint_is_a_path(tmp_path: Path) -> None:
    _, checkpoint = made("open_clip", False, tmp_path / "mine", name="my-clip")
    assert Path(checkpoint) == tmp_path / "mine" and str(checkpoint) == str(tmp_path / "mine")
    assert (checkpoint.name, hash(checkpoint)) == ("my-clip", hash(checkpoint))
    assert from_open_clip(models.open_clip_model(True), folder=tmp_path / "his").name == "his"

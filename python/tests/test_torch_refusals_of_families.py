"""What headspan does not read of other families is refused in its own words, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

import torch_models as models

from headspan._torch import (
    ModelMismatch,
    PreprocessMismatch,
    TorchInputError,
    UnsupportedModel,
    from_timm,
    from_transformers,
)

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SQUARE = {**SIZES, "image_size": 32, "patch_size": 8}


def of_transformers(name: str, **keys: Any) -> Any:
    return getattr(transformers, name)(getattr(transformers, name.replace("Model", "Config"))(**keys))


def tower(**keys: Any) -> Any:
    sizes = {"depth": 2, "img_size": 32, "num_classes": 0}
    return timm.create_model("vit_tiny_patch16_224", **{**sizes, **keys})


OTHERS: dict[str, tuple[Callable[[], Any], str]] = {
    "NaFlex": (
        lambda: of_transformers(
            "Siglip2Model", vision_config=dict(SIZES), text_config={**SIZES, "vocab_size": 64}
        ),
        "model_type = `siglip2` is not supported",
    ),
    "SwiGLU": (
        lambda: of_transformers("Dinov2Model", **SQUARE, use_swiglu_ffn=True),
        "use_swiglu_ffn = true is not supported",
    ),
    "activation": (lambda: of_transformers("ViTModel", **SQUARE, hidden_act="relu"), "hidden_act = `relu`"),
    "no pooling": (
        lambda: of_transformers("SiglipVisionModel", **SQUARE, vision_use_head=False),
        "vision_use_head = false",
    ),
    "texts": (lambda: of_transformers("BertModel", **SIZES, vocab_size=64), "no image tower of CLIP"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_transformers(case: str, tmp_path: Path) -> None:
    build, expected = OTHERS[case]
    with pytest.raises(UnsupportedModel) as raised:
        from_transformers(build(), folder=tmp_path / "clip")
    assert expected in str(raised.value)
    assert str(tmp_path) not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_processor_with_another_filter(tmp_path: Path) -> None:
    images = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    with pytest.raises(UnsupportedModel, match="resample = 2 is not supported"):
        from_transformers(of_transformers("ViTModel", **SQUARE), images, folder=tmp_path / "vit")
    assert not list(tmp_path.iterdir())


TIMM: dict[str, tuple[Callable[[], Any], str]] = {
    "resnet": (lambda: timm.create_model("resnet18"), "no image tower of CLIP"),
    "rotary": (
        lambda: timm.create_model("vit_small_patch16_rope_mixed_224", depth=1, img_size=32),
        "learned for every block and head",
    ),
    "MLPs": (lambda: tower(mlp_ratio=2.0), "mlp"),
    "norms of queries": (lambda: tower(qk_norm=True), "q_norm"),
}


@pytest.mark.parametrize("case", TIMM)
def test_timm(case: str, tmp_path: Path) -> None:
    build, expected = TIMM[case]
    with pytest.raises(UnsupportedModel) as raised:
        from_timm(build(), folder=tmp_path / "tower")
    assert expected in str(raised.value), str(raised.value)
    assert not list(tmp_path.iterdir())


def test_timm_needs_the_name_of_an_architecture(tmp_path: Path) -> None:
    model = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=0
    )
    with pytest.raises(TorchInputError, match="does not say its architecture") as raised:
        from_timm(model, folder=tmp_path / "tower")
    assert "architecture=" in (raised.value.hint or "")
    checkpoint = from_timm(model, architecture="vit_small_patch16_224", folder=tmp_path / "tower")
    assert checkpoint.path.is_dir()


def test_a_model_that_computes_something_else_is_noticed(tmp_path: Path) -> None:
    model = tower()
    model.blocks[0].register_forward_hook(lambda module, given, output: output + 0.05 * given[0].square())
    with pytest.raises(ModelMismatch, match="representation of a test image differs from headspan's by"):
        from_timm(model, folder=tmp_path / "tower")
    other = of_transformers("Dinov2Model", **SQUARE)
    torch.nn.init.constant_(other.layernorm.weight, float("nan"))
    with pytest.raises(ModelMismatch, match="finite|NaN"):
        from_transformers(other, folder=tmp_path / "tower")
    assert not list(tmp_path.iterdir())


def test_another_preprocess_is_refused(tmp_path: Path) -> None:
    from torchvision import transforms

    bilinear = transforms.Compose([transforms.Resize(35), transforms.CenterCrop(32), transforms.ToTensor()])
    with pytest.raises(PreprocessMismatch, match="of 255 levels"):
        from_timm(tower(), preprocess=bilinear, folder=tmp_path / "tower")
    assert not list(tmp_path.iterdir())


def test_a_preprocess_that_rounds_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose pixels pass may still give another representation: by how much is said."""
    from torchvision import transforms

    from headspan._torch import family_make

    bicubic = transforms.InterpolationMode.BICUBIC
    steps = [transforms.PILToTensor(), transforms.Resize(32, interpolation=bicubic, antialias=True)]
    rounding = transforms.Compose([*steps, transforms.CenterCrop(32), lambda levels: levels.float() / 255])
    monkeypatch.setattr(family_make, "ROUNDED_PIXELS", 1e-6)
    monkeypatch.setattr(family_make, "SAME", 2e-6)
    with pytest.raises(PreprocessMismatch, match="with its own preprocess .* differs from headspan's by"):
        from_timm(models.randomise(tower()), preprocess=rounding, folder=tmp_path / "tower")
    assert not list(tmp_path.iterdir())

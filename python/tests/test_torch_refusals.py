"""What headspan cannot decompose is refused by name, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
open_clip = pytest.importorskip("open_clip", reason="OpenCLIP is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

import torch_models as models

from headspan._torch import (
    ModelMismatch,
    TorchInputError,
    UnsupportedModel,
    from_open_clip,
    from_timm,
    from_transformers,
)

TEXT = {"context_length": 12, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}


def resnet() -> Any:
    return open_clip.model.CLIP(
        24, {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8}, TEXT
    )


def trunk(name: str = "vit_tiny_patch16_224", **keys: Any) -> Any:
    config = {"timm_model_name": name, "timm_pool": "avg", "image_size": 224, **keys}
    return open_clip.model.CLIP(24, config, TEXT)


def two_activations() -> Any:
    model = models.open_clip_model(False)
    for block in model.transformer.resblocks:
        block.mlp.gelu = open_clip.transformer.QuickGELU()
    return model


def other_text(**changes: Any) -> Any:
    vision = {"image_size": 48, "layers": 1, "width": 32, "head_width": 8, "patch_size": 8}
    return open_clip.model.CustomTextCLIP(24, vision, {**TEXT, **changes})


def with_adapter() -> Any:
    model = models.open_clip_model(False)
    model.visual.transformer.resblocks[0].mlp.c_fc.register_parameter(
        "lora_A", torch.nn.Parameter(torch.zeros(2, 32))
    )
    return model


def on_meta() -> Any:
    return models.open_clip_model(False).to("meta")


def parametrised() -> Any:
    model = models.open_clip_model(False)
    torch.nn.utils.parametrizations.weight_norm(model.visual.conv1)
    return model


OPEN_CLIP: dict[str, tuple[Callable[[], Any], str]] = {
    "resnet": (resnet, "a ResNet"),
    "second queries": (
        lambda: models.open_clip_model(False, attentional_pool="cascade"),
        "`parallel` and `cascade` have second queries",
    ),
    "custom blocks": (
        lambda: models.open_clip_model(False, block_type="custom", qk_norm=True),
        "resblocks.0.attn",
    ),
    "two activations": (two_activations, "one activation"),
    "first token": (lambda: other_text(pool_type="first"), 'text_cfg.pool_type = "first"'),
    "no mask": (lambda: other_text(no_causal_mask=True), "text_cfg.no_causal_mask = true"),
    "projection of timm": (lambda: trunk(timm_proj="mlp"), 'timm_proj = "mlp"'),
    "ResNet of timm": (lambda: trunk("resnet18"), "no image tower of CLIP"),
    "LoRA": (with_adapter, "merge_and_unload"),
    "meta": (on_meta, "`meta`"),
    "parametrised": (parametrised, "remove_parametrizations"),
    "TorchScript": (lambda: torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), "TorchScript"),
    "no model": (lambda: torch.nn.Linear(2, 2), "no image tower"),
}


@pytest.mark.parametrize("case", OPEN_CLIP)
def test_open_clip(case: str, tmp_path: Path) -> None:
    build, expected = OPEN_CLIP[case]
    with pytest.raises(UnsupportedModel) as raised:
        from_open_clip(build(), folder=tmp_path / "clip")
    assert expected in str(raised.value), str(raised.value)
    assert not (tmp_path / "clip").exists()


TIMM: dict[str, tuple[Callable[[], Any], str]] = {
    "resnet": (lambda: timm.create_model("resnet18"), "VisionTransformer"),
    "siglip": (lambda: timm.create_model("vit_base_patch16_siglip_224", depth=1), "attn_pool"),
    "registers": (lambda: models.timm_model(False, reg_tokens=2), "reg_token"),
    "average": (lambda: models.timm_model(False, global_pool="avg"), "global_pool"),
    "no norm_pre": (lambda: timm.create_model("vit_tiny_patch16_224", depth=1), "patch_embed.proj"),
    "no head": (lambda: models.timm_model(False, num_classes=0), "`head`"),
    "layer scale": (lambda: models.timm_model(False, init_values=0.1), "ls1"),
    "norms of queries": (lambda: models.timm_model(False, qk_norm=True), "q_norm"),
}


@pytest.mark.parametrize("case", TIMM)
def test_timm(case: str, tmp_path: Path) -> None:
    build, expected = TIMM[case]
    with pytest.raises(UnsupportedModel) as raised:
        from_timm(build(), text=models.open_clip_model(False), folder=tmp_path / "clip")
    assert expected in str(raised.value), str(raised.value)
    assert not (tmp_path / "clip").exists()


def test_a_classifier_of_timm_is_refused(tmp_path: Path) -> None:
    model = models.timm_model(False)
    model.head.bias.data.fill_(0.1)
    with pytest.raises(UnsupportedModel, match="head.bias"):
        from_timm(model, text=models.open_clip_model(False), folder=tmp_path / "clip")


def test_timm_needs_a_text_tower_that_fits(tmp_path: Path) -> None:
    with pytest.raises(TorchInputError, match="tokenizer without a text tower"):
        from_timm(models.timm_model(False), tokenizer=models.word_tokenizer(), folder=tmp_path / "clip")
    with pytest.raises(UnsupportedModel, match="GELU in the image tower and QuickGELU"):
        from_timm(models.timm_model(False), text=models.open_clip_model(True), folder=tmp_path / "clip")
    with pytest.raises(UnsupportedModel, match="20 numbers"):
        from_timm(
            models.timm_model(False, num_classes=20),
            text=models.open_clip_model(False),
            folder=tmp_path / "c",
        )
    assert not (tmp_path / "clip").exists()


def test_a_model_that_computes_something_else_is_noticed(tmp_path: Path) -> None:
    model = models.open_clip_model(False)
    model.visual.transformer.resblocks[1].register_forward_hook(lambda module, given, output: output * 1.01)
    with pytest.raises(ModelMismatch, match="image features"):
        from_open_clip(model, folder=tmp_path / "clip")
    model = models.open_clip_model(False)
    model.transformer.resblocks[0].register_forward_hook(lambda module, given, output: output * 1.01)
    with pytest.raises(ModelMismatch, match="text features"):
        from_open_clip(model, folder=tmp_path / "clip")
    assert not (tmp_path / "clip").exists()


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = models.open_clip_model(False)
    model.visual.conv1.weight.data[0, 0] = float("nan")
    with pytest.raises(ModelMismatch, match="not finite"):
        from_open_clip(model, folder=tmp_path / "clip")
    assert not (tmp_path / "clip").exists()


def test_a_model_that_fails_is_an_error_of_its_own(tmp_path: Path) -> None:
    model = models.open_clip_model(False)

    def fail(pixels: Any) -> Any:
        raise RuntimeError("expected 7 channels")

    model.encode_image = fail
    with pytest.raises(ModelMismatch, match="failed on random images of shape .*expected 7 channels"):
        from_open_clip(model, folder=tmp_path / "clip")
    assert not (tmp_path / "clip").exists()


def test_weights_of_another_text_end_are_refused(tmp_path: Path) -> None:
    model = models.transformers_model(False, end=models.END - 3)
    with pytest.raises(TorchInputError, match="eos_token_id"):
        from_transformers(model, models.word_tokenizer(), folder=tmp_path / "clip")
    assert not (tmp_path / "clip").exists()


def test_names_are_checked_first(tmp_path: Path) -> None:
    with pytest.raises(TorchInputError, match="model id"):
        from_open_clip(models.open_clip_model(False), folder=tmp_path / "clip", name="a/b")
    assert not (tmp_path / "clip").exists()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    for read in (
        from_open_clip,
        from_transformers,
        lambda model, folder: from_timm(model, text=model, folder=folder),
    ):
        for wrong in (None, (torch.nn.Linear(2, 2), None, None), "ViT-B-32"):
            with pytest.raises(UnsupportedModel, match="not a PyTorch model"):
                read(wrong, folder=tmp_path / "clip")

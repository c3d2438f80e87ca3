"""A preprocess is compared with headspan's own by running images through both."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
open_clip = pytest.importorskip("open_clip", reason="OpenCLIP is not installed")
transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

import torch_models as models

from headspan._torch import PreprocessMismatch, from_open_clip, from_transformers
from headspan._torch.architecture import OPENAI_MEAN, OPENAI_STD, Normalisation
from headspan._torch.preprocess import SIMILAR, check
from headspan._torch.probe_image import others, ours, probe_image

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
CUBIC, LINEAR = transforms.InterpolationMode.BICUBIC, transforms.InterpolationMode.BILINEAR


def composed(*resizing: Any, mean: Any = MEAN, std: Any = STD) -> Any:
    return transforms.Compose([*resizing, transforms.ToTensor(), transforms.Normalize(mean, std)])


@pytest.mark.parametrize("size", [32, 48, 224, 336])
def test_open_clips_preprocess_is_headspans(size: int) -> None:
    found = check(
        open_clip.image_transform(size, is_train=False, mean=MEAN, std=STD), size, Normalisation(MEAN, STD)
    )
    assert found.normalisation == Normalisation(MEAN, STD)
    assert found.warnings == () and "0.00 of 255" in found.checked[0]


def test_mean_and_std_are_found_by_what_becomes_of_black_and_white() -> None:
    opaque = open_clip.image_transform(48, is_train=False)
    found = check(lambda image: opaque(image), 48, None)
    for own, expected in ((found.normalisation.mean, OPENAI_MEAN), (found.normalisation.std, OPENAI_STD)):
        assert own == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil"])
@pytest.mark.parametrize("size", [48, 224])
def test_image_processors_of_transformers(name: str, size: int) -> None:
    kind = getattr(transformers, name, None)
    if kind is None:
        pytest.skip(f"this transformers has no {name}")
    processor = kind(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    found = check(processor, size, None)
    assert found.normalisation == Normalisation(OPENAI_MEAN, OPENAI_STD)
    assert found.warnings == ()
    assert len(found.notes) == 1 and "rounds the place of a centre crop down" in found.notes[0]


def test_the_test_images_tell_interpolations_apart() -> None:
    for size in (32, 224):
        for portrait in (False, True):
            image = probe_image(size, portrait)
            for name, other in others(image, size):
                assert abs(other - ours(image, size)).max() > 1.5 * SIMILAR, name


WRONG = {
    "bilinear": (
        composed(transforms.Resize(48, LINEAR), transforms.CenterCrop(48)),
        "bilinear interpolation",
    ),
    "nearest": (
        composed(transforms.Resize(48, transforms.InterpolationMode.NEAREST), transforms.CenterCrop(48)),
        "nearest interpolation",
    ),
    "squash": (composed(transforms.Resize((48, 48), CUBIC)), "squashing to a square (bicubic)"),
    "larger": (
        composed(transforms.Resize(54, CUBIC), transforms.CenterCrop(48)),
        "a shortest side of 54 pixels",
    ),
    "no resize": (composed(transforms.CenterCrop(48)), "a crop without a resize"),
    "no crop": (composed(transforms.Resize(48, CUBIC)), "the model takes 48 × 48"),
    "other size": (open_clip.image_transform(32, is_train=False), "the preprocess gives 32 × 32 pixels"),
    "training": (open_clip.image_transform(48, is_train=True), "other pixels of the same image each time"),
    "padding": (
        open_clip.image_transform(48, is_train=False, resize_mode="longest"),
        "the longest side resized",
    ),
    "no scale": (
        lambda image: torch.from_numpy(models.np.array(image.resize((48, 48)))).permute(2, 0, 1).float(),
        "does not rescale",
    ),
    "gamma": (
        lambda image: open_clip.image_transform(48, is_train=False, mean=(0,) * 3, std=(1,) * 3)(image) ** 2,
        "more to values than",
    ),
    "BGR": (
        lambda image: open_clip.image_transform(48, is_train=False, mean=(0,) * 3, std=(1,) * 3)(image).flip(
            0
        ),
        "order of channels",
    ),
    "broken": (lambda image: None.nothing, "failed on an RGB image"),  # type: ignore[attr-defined]
    "no tensor": (lambda image: torch.zeros(48, 48), "shape [48, 48]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_differs_is_named(case: str, tmp_path: Path) -> None:
    preprocess, expected = WRONG[case]
    with pytest.raises(PreprocessMismatch) as raised:
        from_open_clip(models.open_clip_model(False), None, preprocess, folder=tmp_path / "clip")
    assert expected in str(raised.value), str(raised.value)
    assert not (tmp_path / "clip").exists()


def test_small_differences_warn(tmp_path: Path) -> None:
    right = open_clip.image_transform(48, is_train=False)

    def off_by_two_levels(image: Any) -> Any:
        made = right(image)
        return made + 4 / 255 / 0.27 * (torch.arange(48 * 48).reshape(48, 48) % 2) * (image.width > 60)

    with pytest.warns(UserWarning, match="differs from headspan's by up to [34]"):
        from_open_clip(models.open_clip_model(False), None, off_by_two_levels, folder=tmp_path / "clip")


def test_another_normalisation_than_the_models_warns(tmp_path: Path) -> None:
    model = models.open_clip_model(False)
    open_clip.model.set_model_preprocess_cfg(model, {"mean": MEAN, "std": STD})
    with pytest.warns(UserWarning, match="the preprocess's are used"):
        made = from_open_clip(
            model, None, open_clip.image_transform(48, is_train=False), folder=tmp_path / "a"
        )
    assert "0.48145466" in (made.path / "open_clip_config.json").read_text()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = from_open_clip(model, folder=tmp_path / "b")
    assert "0.25" in (made.path / "open_clip_config.json").read_text()


@pytest.mark.parametrize(("key", "value"), [("resize_mode", "squash"), ("interpolation", "bilinear")])
def test_what_the_model_says_of_its_preprocess_counts(key: str, value: str, tmp_path: Path) -> None:
    model = models.open_clip_model(False)
    config = {"mean": MEAN, "std": STD, "resize_mode": "shortest", "interpolation": "bicubic", key: value}
    open_clip.model.set_model_preprocess_cfg(model, config)
    with pytest.raises(PreprocessMismatch, match=f"{key} = '{value}'"):
        from_open_clip(model, folder=tmp_path / "clip")
    assert not (tmp_path / "clip").exists()
    from_open_clip(
        model, None, open_clip.image_transform(48, mean=MEAN, std=STD, is_train=False), folder=tmp_path / "b"
    )


def test_a_processor_gives_both_its_parts(tmp_path: Path) -> None:
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48}, image_mean=MEAN, image_std=STD
    )
    model, tokenizer = models.transformers_model(True), models.word_tokenizer()

    class Processor:
        def __init__(self) -> None:
            self.image_processor, self.tokenizer = images, tokenizer

    whole = from_transformers(model, Processor(), folder=tmp_path / "whole")
    assert (whole.path / "tokenizer.json").is_file() and len(whole.checked) == 3
    only_images = from_transformers(model, images, folder=tmp_path / "images")
    assert not (only_images.path / "tokenizer.json").exists() and len(only_images.checked) == 3
    assert "hand over the model's tokenizer" in only_images.notes[-1]
    name = "open_clip_config.json"
    assert (whole.path / name).read_bytes() == (only_images.path / name).read_bytes()

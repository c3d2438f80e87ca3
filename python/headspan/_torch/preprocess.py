"""From a preprocess to headspan's settings, checked by running images through both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from .architecture import Normalisation
from .errors import PreprocessMismatch
from .probe_image import SHORTEST, Levels, Resize, crop_rounded_down, others, ours, probe_image

#: Largest difference in levels of 255 that is rounding. Pillow rounds to whole levels between its horizontal
#: and its vertical pass and after it. A resizer that rounds elsewhere differs by half a level each time, the
#: first amplified by the weights of a bicubic filter, whose absolute values add up to at most 1.3. One with
#: weights of 16 bits, as torchvision's for bytes, adds up to as much again: 2 * (0.5 * 1.3 + 0.5) = 2.3. With
#: transformers' image processor, 0.5 % of the values differ by 1 level and 0.001 % by 2.
ROUNDING = 2.5

#: Up to here the filter is the same and its weights are not; a warning tells. On the test images, Lanczos and
#: bilinear interpolation differ by 10 levels and more.
SIMILAR = 5.0

#: Times that one image is preprocessed to see whether the preprocess is random; a flip by chance is missed
#: once in 128.
REPEATS = 8

#: Relative difference at which a stated number is that of the pixels.
STATED = 1e-4


@dataclass(frozen=True)
class Checked:
    """Settings of a preprocess, what was checked, and what differs without being wrong."""

    normalisation: Normalisation
    checked: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    resize: Resize = SHORTEST


def check(
    preprocess: Any, size: int, stated: Normalisation | None, resizes: Sequence[Resize] = (SHORTEST,)
) -> Checked:
    """Mean and standard deviation of a preprocess, and that it makes headspan's pixels otherwise.

    `preprocess` is a function of a PIL image (torchvision's `Compose` of OpenCLIP) or an image processor of
    transformers; `size` is the side of the model's input in pixels, `stated` what the model says of its
    normalisation. Of several `resizes` the one counts that is nearest.
    """
    pixels = as_function(preprocess)
    _refuse_random(pixels, size)
    first = run(pixels, probe_image(size, portrait=False), size)
    normalisation = _normalisation(pixels, size, _declared(preprocess))
    notes: list[str] = []
    found: list[str] = []
    resize = _nearest(first, normalisation, size, resizes)
    worst = _compare(first, normalisation, size, resize, portrait=False, notes=notes)
    second = run(pixels, probe_image(size, portrait=True), size)
    worst = max(worst, _compare(second, normalisation, size, resize, portrait=True, notes=notes))
    if worst > ROUNDING:
        found.append(
            f"the preprocess differs from headspan's by up to {worst:.1f} of 255 levels; headspan's is used"
        )
    if stated is not None and not _close(normalisation, stated):
        found.append(
            f"the preprocess normalises by mean {_shown(normalisation.mean)} and std"
            f" {_shown(normalisation.std)}, the model says mean {_shown(stated.mean)} and std"
            f" {_shown(stated.std)}; the preprocess's are used"
        )
    checked = (
        f"preprocess: two test images give the same {size} × {size} pixels (largest difference {worst:.2f} of"
        " 255 levels)"
    )
    return Checked(normalisation, (checked,), tuple(found), tuple(notes), resize)


def _refuse_random(pixels: Callable[[Image.Image], Any], size: int) -> None:
    """Some random crops of a wide image are the same each time, so this one is square."""
    image = probe_image(size, portrait=False)
    square = image.crop((0, 0, image.height, image.height))
    first = run(pixels, square, size)
    if any(not np.array_equal(first, run(pixels, square, size)) for _ in range(REPEATS - 1)):
        raise PreprocessMismatch(
            "the preprocess makes other pixels of the same image each time",
            "hand over the preprocess of evaluation; the random one is for training",
        )


def as_function(preprocess: Any) -> Callable[[Image.Image], Any]:
    """An image processor of transformers is called by keyword and gives a dictionary."""
    processor = getattr(preprocess, "image_processor", preprocess)
    if not hasattr(processor, "image_mean") and not hasattr(processor, "model_input_names"):
        return lambda image: preprocess(image)
    return lambda image: processor(images=image, return_tensors="pt")["pixel_values"]


def _declared(preprocess: Any) -> Normalisation | None:
    """Mean and standard deviation in full digits, where the preprocess has them as numbers."""
    processor = getattr(preprocess, "image_processor", preprocess)
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    for step in getattr(preprocess, "transforms", ()):
        mean, std = getattr(step, "mean", mean), getattr(step, "std", std)
    try:
        return Normalisation(_three(mean), _three(std))
    except (TypeError, ValueError):
        return None


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def run(pixels: Callable[[Image.Image], Any], image: Image.Image, size: int) -> Levels:
    """Normalised pixels `[s, s, 3]` of an image."""
    try:
        made = pixels(image)
        made = (
            made.detach().cpu().float().numpy()
            if hasattr(made, "detach")
            else np.asarray(made, dtype=np.float32)
        )
    except Exception as error:
        raise PreprocessMismatch(
            f"the preprocess failed on an RGB image of {image.width} × {image.height} pixels: {error!r}",
            "hand over a function of a PIL image that gives a tensor [3, s, s], or an image processor of"
            " transformers",
        ) from error
    if made.ndim == 4 and made.shape[0] == 1:
        made = made[0]
    if made.ndim != 3 or made.shape[0] != 3:
        raise PreprocessMismatch(
            f"the preprocess gives a tensor of shape {list(made.shape)}, expected [3, {size}, {size}]"
        )
    if made.shape[1:] != (size, size):
        raise PreprocessMismatch(
            f"the preprocess gives {made.shape[2]} × {made.shape[1]} pixels of an image of {image.width} ×"
            f" {image.height}, the model takes {size} × {size}",
            "hand over the preprocess that belongs to the model, with a centre crop",
        )
    turned: Levels = np.ascontiguousarray(made.transpose(1, 2, 0), dtype=np.float32)
    return turned


def _normalisation(
    pixels: Callable[[Image.Image], Any], size: int, declared: Normalisation | None
) -> Normalisation:
    """From what becomes of black, grey and white."""
    flat = {level: run(pixels, Image.new("RGB", (size, size), (level,) * 3), size) for level in (0, 128, 255)}
    black, grey, white = (flat[level].astype(np.float64).mean((0, 1)) for level in (0, 128, 255))
    slope = white - black
    expected_grey = black + slope * (128 / 255)
    if (slope <= 0).any() or np.abs(grey - expected_grey).max() > 1e-3 * np.abs(slope).max():
        raise PreprocessMismatch(
            "the preprocess does more to values than subtract a mean and divide by a standard deviation"
        )
    std = 1 / slope
    if std.max() < 0.02:
        raise PreprocessMismatch(
            f"the preprocess does not rescale pixels to 0 to 1: white becomes {white.max():.4g}",
            "rescale by 1/255 before normalising (`do_rescale=True`, `ToTensor()`)",
        )
    found = Normalisation(_rounded(-black * std), _rounded(std))
    return declared if declared is not None and _close(found, declared) else found


def _rounded(values: Any) -> tuple[float, float, float]:
    """Drops the digits that float32 lacks: their noise would give one model several folders."""
    return _three(float(f"{value:.6g}") if abs(value) > 1e-6 else 0.0 for value in values)


def _close(found: Normalisation, other: Normalisation) -> bool:
    return bool(np.allclose(found.mean + found.std, other.mean + other.std, rtol=STATED, atol=1e-6))


def levels_of(pixels: Levels, normalisation: Normalisation) -> Levels:
    """Normalised pixels `[s, s, 3]` as levels 0 to 255."""
    mean, std = (np.asarray(values, dtype=np.float64) for values in (normalisation.mean, normalisation.std))
    levels: Levels = ((pixels * std + mean) * 255).astype(np.float32)
    return levels


def _nearest(made: Levels, normalisation: Normalisation, size: int, resizes: Sequence[Resize]) -> Resize:
    """Which resize makes the pixels of the landscape, as near as any does."""
    levels, image = levels_of(made, normalisation), probe_image(size, portrait=False)
    return min(resizes, key=lambda resize: difference(levels, ours(image, size, resize)))


def _compare(
    made: Levels, normalisation: Normalisation, size: int, resize: Resize, portrait: bool, notes: list[str]
) -> float:
    """Largest difference from headspan's pixels in levels; an error names what differs."""
    levels, image = levels_of(made, normalisation), probe_image(size, portrait)
    found = difference(levels, ours(image, size, resize))
    if found <= SIMILAR:
        return found
    down = difference(levels, crop_rounded_down(image, size, resize))
    if portrait and down <= SIMILAR:
        notes.append(
            "the preprocess rounds the place of a centre crop down: images with an odd excess are cropped 1"
            " pixel off"
        )
        return down
    raise PreprocessMismatch(
        f"the preprocess makes other pixels than headspan, by up to {found:.0f} of 255 levels"
        + cause(levels, image, size),
        f"headspan {resize.described(size)} and normalises; leave `preprocess` out to use that",
    )


def cause(levels: Levels, image: Image.Image, size: int) -> str:
    """What makes these levels of a test image, as the end of a sentence; empty if nothing known does."""
    best, name = min((difference(levels, other), name) for name, other in others(image, size))
    return f"; it does the same as {name}" if best <= SIMILAR else ""


def difference(first: Levels, second: Levels) -> float:
    """Largest difference of two images in levels."""
    return float(np.abs(first - second).max())


def _shown(values: tuple[float, float, float]) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"

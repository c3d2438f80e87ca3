"""Test images, headspan's own preprocessing of them, and others to tell what a difference is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

#: Levels 0 to 255, `[s, s, 3]`.
Levels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Resize:
    """How an image becomes a square of the model's size."""

    #: Both sides are resized to the model's size, whatever the aspect ratio; else the shortest side is
    #: resized and the centre is cropped.
    squash: bool = False
    #: Length of the shortest side before the crop in pixels; `None` for the model's size.
    side: int | None = None

    def described(self, size: int) -> str:
        """What headspan does, for a sentence that begins with its name."""
        if self.squash:
            return f"resizes both sides to {size} pixels (bicubic, antialiased)"
        side = self.side or size
        return f"resizes the shortest side to {side} pixels (bicubic, antialiased), crops the centre"


SHORTEST, SQUASH = Resize(), Resize(squash=True)


def probe_image(size: int, portrait: bool) -> Image.Image:
    """An RGB image with structure down to the pixel and an odd aspect ratio, above `size` along both sides.

    Its values keep away from 0 and 255, so that a filter that overshoots is not clipped and shows. The centre
    crop of the landscape has one place; that of the portrait lies half a pixel between two, as it does for a
    quarter of all images.
    """
    short = size + size // 2 + 5
    wanted = 3 if portrait else 2
    long = next(
        n for n in range(short + short // 3, 9 * short) if (int(size * n / short) - size) % 4 == wanted
    )
    width, height = (short, long) if portrait else (long, short)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    random = np.random.default_rng(7)
    rings = np.sin((rows**2 + columns**2) * (np.pi / (4.0 * long)))
    stripes = np.sign(np.sin(columns * 0.9 + rows * 0.35))
    ramp = columns / width - rows / height
    channels = [
        128 + 45 * rings + 30 * ramp,
        110 + 40 * stripes + 25 * ramp,
        140 + 40 * rings * stripes - 30 * ramp,
    ]
    noisy = np.stack(channels, axis=-1) + random.uniform(-20, 20, (height, width, 3))
    return Image.fromarray(noisy.clip(30, 225).astype(np.uint8), mode="RGB")


def shortest(image: Image.Image, side: int, filter_: Image.Resampling) -> Image.Image:
    """The image with its shortest side resized to `side`; the long side is truncated as torchvision does."""
    width, height = image.size
    if width <= height:
        return image.resize((side, int(side * height / width)), filter_)
    return image.resize((int(side * width / height), side), filter_)


def centre(image: Image.Image, size: int, half: Callable[[float], int] = round) -> Image.Image:
    """The middle of the image; `half` rounds the place of an odd excess, to even as torchvision does."""
    left, top = half((image.width - size) / 2), half((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def as_levels(image: Image.Image) -> Levels:
    """The image's values."""
    return np.asarray(image, dtype=np.float32)


def ours(
    image: Image.Image, size: int, resize: Resize = SHORTEST, half: Callable[[float], int] = round
) -> Levels:
    """What headspan does: Pillow's bicubic filter, of the shortest side with a centre crop, or of both."""
    if resize.squash:
        return as_levels(image.resize((size, size), Image.Resampling.BICUBIC))
    side = resize.side or size
    return as_levels(centre(shortest(image, side, Image.Resampling.BICUBIC), size, half))


def crop_rounded_down(image: Image.Image, size: int, resize: Resize = SHORTEST) -> Levels:
    """As `ours` with the crop's place rounded down, as transformers does."""
    return ours(image, size, resize, int)


def others(image: Image.Image, size: int) -> Iterator[tuple[str, Levels]]:
    """Preprocessings that people have, each with what it does."""
    filters = Image.Resampling
    for name in ("BILINEAR", "NEAREST", "LANCZOS", "BOX", "HAMMING"):
        yield f"{name.lower()} interpolation", as_levels(centre(shortest(image, size, filters[name]), size))
    for filter_ in (filters.BICUBIC, filters.BILINEAR):
        name = filter_.name.lower()
        yield f"squashing to a square ({name})", as_levels(image.resize((size, size), filter_))
        for share in (0.875, 0.9, 0.95):
            side = int(size / share)
            resized = centre(shortest(image, side, filter_), size)
            yield f"a shortest side of {side} pixels before the crop to {size} ({name})", as_levels(resized)
        yield f"the longest side resized and the rest padded ({name})", _padded(image, size, filter_)
        yield f"{name} interpolation without antialiasing", _without_antialias(image, size, name)
    yield "a crop without a resize", as_levels(centre(image, size))
    yield "another order of channels (BGR)", np.ascontiguousarray(ours(image, size)[..., ::-1])


def _padded(image: Image.Image, size: int, filter_: Image.Resampling) -> Levels:
    scale = size / max(image.size)
    resized = image.resize((round(image.width * scale), round(image.height * scale)), filter_)
    canvas = Image.new("RGB", (size, size))
    canvas.paste(resized, ((size - resized.width) // 2, (size - resized.height) // 2))
    return as_levels(canvas)


def _without_antialias(image: Image.Image, size: int, mode: str) -> Levels:
    import torch

    width, height = image.size
    short = min(width, height)
    target = (int(size * height / short), int(size * width / short))
    pixels = torch.from_numpy(as_levels(image)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(pixels, size=target, mode=mode, align_corners=False)[0]
    top, left = round((target[0] - size) / 2), round((target[1] - size) / 2)
    levels: Any = resized[:, top : top + size, left : left + size].permute(1, 2, 0).numpy()
    return np.asarray(levels, dtype=np.float32)

"""Image files of every kind that headspan reads, and what OpenCLIP's transform makes of them with Pillow.

Usage: preprocess_reference.py OUT   (writes OUT/<case>.<ending> and OUT/<case>.expected.png, 32 × 32, and three files to OUT/../resize)
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 32


def transform(image: Image.Image) -> Image.Image:
    """Resize the shortest side, crop the centre: torchvision's rules for PIL images."""
    image = image.convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new_long = int(SIZE * long / short)
    size = (SIZE, new_long) if width <= height else (new_long, SIZE)
    # Horizontally, then vertically: what every Pillow up to 12 does. Pillow 13 turns the order round for images more than
    # twice as tall as wide, which moves some pixels by a few levels; models were trained on the older order.
    for step in ((size[0], height), size):
        if step != image.size:
            image = image.resize(step, Image.Resampling.BICUBIC)
    left, top = int(round((size[0] - SIZE) / 2.0)), int(round((size[1] - SIZE) / 2.0))
    return image.crop((left, top, left + SIZE, top + SIZE))


def picture(width: int, height: int, channels: int, seed: int) -> np.ndarray:
    """Smooth colours with edges and some noise, so that every step of the resampling shows."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (3 + c) + c) * np.cos(y / (4 + c)) * 90 + 128 + 60 * ((x // 7 + y // 5 + c) % 2) for c in range(channels)]
    noise = random.normal(0, 6, (height, width, channels))
    return np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)


def resizes(out: Path) -> None:
    """What OpenCLIP's `squash` and timm's margin around the crop make of an image; with open_clip and timm."""
    from open_clip.transform import image_transform
    from timm.data import create_transform

    out.mkdir(parents=True, exist_ok=True)
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    squash = image_transform(SIZE, is_train=False, resize_mode="squash", interpolation="bicubic", **plain)
    margin = create_transform((3, SIZE, SIZE), interpolation="bicubic", crop_pct=0.9, crop_mode="center", **plain)
    Image.fromarray(picture(75, 50, 3, 8)).save(out / "image.png")
    for name, transform in [("squash", squash), ("margin", margin)]:
        pixels = transform(Image.open(out / "image.png")).mul(255).round().byte().permute(1, 2, 0)
        Image.fromarray(pixels.numpy()).save(out / f"{name}.png")


def main() -> None:
    out = Path(sys.argv[1])
    resizes(out.parent / "resize")
    out.mkdir(parents=True, exist_ok=True)
    rgb = Image.fromarray(picture(75, 50, 3, 0))
    grey = rgb.convert("L")
    rgba = Image.fromarray(picture(50, 64, 4, 1), "RGBA")
    palette = rgb.quantize(20)
    transparent = palette.copy()
    transparent.info["transparency"] = 3
    deep = Image.fromarray((np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 30))
    cases: dict[str, tuple[Image.Image, str, dict]] = {
        "rgb": (rgb, "png", {}),
        "grey": (grey, "png", {}),
        "grey-alpha": (rgba.convert("LA"), "png", {}),
        "alpha": (rgba, "png", {}),
        "palette": (palette, "png", {}),
        "palette-transparent": (transparent, "png", {"transparency": 3}),
        "one-bit": (grey.convert("1"), "png", {}),
        "grey-16": (deep, "png", {}),
        "upscaled": (Image.fromarray(picture(5, 3, 3, 2)), "png", {}),
        "tall": (Image.fromarray(picture(33, 190, 3, 3)), "png", {}),
        "exact": (Image.fromarray(picture(32, 32, 3, 4)), "png", {}),
        "odd": (Image.fromarray(picture(47, 33, 3, 5)), "png", {}),
        "jpeg": (rgb, "jpg", {"quality": 90}),
        "jpeg-grey": (grey, "jpg", {"quality": 90}),
        "jpeg-progressive": (rgb, "jpg", {"quality": 85, "progressive": True}),
        "jpeg-cmyk": (rgb.convert("CMYK"), "jpg", {"quality": 95}),
        "webp-lossless": (rgb, "webp", {"lossless": True}),
        "webp-alpha": (rgba, "webp", {"lossless": True, "exact": True}),
        "webp-lossy": (rgb, "webp", {"quality": 90}),
    }
    exif = Image.Exif()
    exif[0x0112] = 6
    cases["jpeg-exif-rotated"] = (rgb, "jpg", {"quality": 90, "exif": exif})
    for name, (image, ending, options) in cases.items():
        path = out / f"{name}.{ending}"
        image.save(path, **options)
        transform(Image.open(path)).save(out / f"{name}.expected.png")
    frames = [Image.fromarray(picture(40, 36, 3, seed)) for seed in (6, 7)]
    frames[0].save(out / "webp-animated.webp", save_all=True, append_images=frames[1:], lossless=True)
    transform(Image.open(out / "webp-animated.webp")).save(out / "webp-animated.expected.png")


if __name__ == "__main__":
    main()

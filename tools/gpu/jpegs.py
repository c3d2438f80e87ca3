#!/usr/bin/env python3
"""Makes JPEGs that decode at the cost of photos: 500 × 375 pixels, quality 90, noise whose amplitude falls with its frequency. Needs Pillow.

    python3 tools/gpu/jpegs.py OUT COUNT
"""

import multiprocessing
import pathlib
import sys

SIZE = (500, 375)
# Cells along the shorter side, and standard deviations: of brightness, then of colour, which photos have less of.
BRIGHTNESS = ((3, 60), (8, 40), (20, 24), (50, 14), (120, 9), (375, 8))
COLOUR = ((3, 24), (8, 12), (20, 7), (50, 4))


def noise(octaves):
    from PIL import Image, ImageChops

    sum_of_all = Image.new("L", SIZE, 128)
    for side, deviation in octaves:
        octave = Image.effect_noise((side * 4 // 3, side), deviation).resize(SIZE, Image.Resampling.BICUBIC)
        sum_of_all = ImageChops.add(sum_of_all, octave, 1, -128)
    return sum_of_all


def make(path):
    from PIL import Image

    channels = [noise(BRIGHTNESS), noise(COLOUR), noise(COLOUR)]
    Image.merge("YCbCr", channels).save(path, quality=90)


def main():
    out, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool() as pool:
        pool.map(make, [out / f"{number:05}.jpg" for number in range(count)], chunksize=8)


if __name__ == "__main__":
    main()

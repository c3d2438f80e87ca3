#!/usr/bin/env python3
"""JPEG files to the pixels that the model sees (decode, resize, crop, normalise), on one core: headspan, Pillow with OpenCLIP's
transform, torchvision with antialiased bicubic. In alternation, files in memory.

    python3 benches/input_pipeline.py [--quick] [--images FOLDER]
"""

import os
import shutil

import measure


def section(bench):
    files = sorted(file for file in bench.photos().rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise measure.Missing(f"{bench.photos().name} has no JPEG file: give --images FOLDER")
    folder = bench.work / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files = files[: bench.size(200, 8)]
    for number, file in enumerate(files):
        shutil.copyfile(file, folder / f"{number:05}.jpg")
    core = {min(os.sched_getaffinity(0))}
    commands = {
        "headspan": lambda: measure.Worker(measure.example("preprocess_rate"), folder, threads=1, cores=core),
        "Pillow, OpenCLIP's transform": lambda: measure.pytorch(bench, "pillow", folder, core),
        "torchvision, `decode_jpeg` and antialiased bicubic": lambda: measure.pytorch(bench, "torchvision", folder, core),
    }
    with measure.workers(commands) as side:
        methods = {name: (lambda worker=worker: len(files) / worker.ask("all")) for name, worker in side.items()}
        rates = measure.alternate(methods, bench.size(7, 2))
        memory = {name: worker.peak() for name, worker in side.items()}
    base = rates["Pillow, OpenCLIP's transform"]
    measure.figure("photos to pixels, one core, images/s vs. Pillow", rates["headspan"], base)
    measure.figure("... vs. torchvision", rates["headspan"], rates["torchvision, `decode_jpeg` and antialiased bicubic"])
    rows = [[name, measure.told(found, 0), measure.ratio(found, base), f"{memory[name]:.0f}"] for name, found in rates.items()]
    return "\n\n".join([
        measure.table(["one core", "images/s, median (min–max)", "relative to Pillow", "peak MiB"], rows),
        f"{bench.size(7, 2)} rounds. {len(files)} of {bench.origin_of_photos()}, {sum(file.stat().st_size for file in files) / len(files) / 1000:.0f} kB each on average, to 224 × 224 in float32. "
        "headspan's pixels are bit-equal to Pillow's; torchvision has its own resampling.",
    ])


SECTION = measure.Section("input", "The input pipeline, one core", section)

if __name__ == "__main__":
    measure.alone(SECTION)

#!/usr/bin/env python3
"""The stage of extraction, from JPEG files to Parquet, beside the forward pass alone (ours) and PyTorch's plain `encode_image`
on ready pixels: same weights and threads, in alternation.

    python3 benches/extract.py [--quick] [--images FOLDER] [--threads N]
"""

import json
import shutil
import statistics

import measure
from measure import BATCH

# Whole batches of sixteen for each of two workers; and images of a forward pass alone.
STAGE = {"ViT-B-32": 256, "ViT-B-16": 96, "ViT-L-14": 32}
ALONE = {"ViT-B-32": 128, "ViT-B-16": 32, "ViT-L-14": 16}


def stage(bench, checkpoint, images, limit):
    """Images a second as the stage's record has it (first decode to last commit), and the process."""
    runs = bench.work / "runs-of-extract"
    shutil.rmtree(runs, ignore_errors=True)
    command = [measure.program(), "--quiet", "extract", "--checkpoint", checkpoint, "--images", images, "--limit", limit, "--runs", runs]
    done = measure.child(*command, "--texts", bench.two_texts(), "--dataset", "bench", "--device", "cpu")
    record = json.loads((runs / "bench" / checkpoint.name / "stages/images.json").read_text())
    return record["figures"], done


def model(bench, name):
    checkpoint, photos = bench.checkpoint(name), bench.photos()
    weights = (checkpoint / "open_clip_model.safetensors").stat().st_size / 2**20
    limit = bench.size(STAGE[name], 4)
    alone = bench.size(ALONE[name] * max(1, bench.threads // 2), 2)
    batch = min(BATCH[name], alone)
    processes = []

    def whole():
        figures, done = stage(bench, checkpoint, photos, limit)
        processes.append((figures["images"] - figures["skipped"], done))
        return figures["images_per_second"]

    commands = {
        "theirs": lambda: measure.pytorch(bench, "eager", checkpoint),
        "ours": lambda: measure.vision_pass(bench, checkpoint, "float32"),
    }
    with measure.workers(commands) as side:
        side["theirs"].ask("pass", alone, batch)
        side["theirs"].forget_peak()
        side["ours"].ask("pass", alone)
        methods = {
            "PyTorch `encode_image`, forward alone": lambda: alone / side["theirs"].ask("pass", alone, batch),
            "headspan, forward alone": lambda: alone / side["ours"].ask("pass", alone),
            "headspan `extract`, files to Parquet": whole,
        }
        rates = measure.alternate(methods, bench.size(3, 1), warm=0)
        pytorch_peak = side["theirs"].peak()
    theirs, ours, files = rates.values()
    measure.figure(f"{name}, files to Parquet, % of our pass", [100 * statistics.median(files) / statistics.median(ours)])
    peak = max(done.peak for _, done in processes)
    seconds = statistics.median(done.seconds for _, done in processes)
    row = [name, processes[0][0], *(measure.told(found, 2) for found in rates.values())]
    return [*row, f"{100 * statistics.median(files) / statistics.median(ours):.0f} %", measure.ratio(files, theirs), f"{peak:.0f}",
            f"{peak / weights:.2f}", f"{seconds:.1f}", f"{pytorch_peak:.0f}"]


def section(bench):
    rows = []
    for name in bench.models():
        measure.said(name)
        rows.append(model(bench, name))
    header = ["model", "images", "PyTorch `encode_image` alone, images/s", "our forward pass alone, images/s", "`extract`, files to Parquet, images/s", "of our forward pass",
              "relative to PyTorch", "peak MiB of `extract`", "relative to the weights' file", "seconds with loading and checks", "peak MiB of PyTorch's process"]
    return "\n\n".join([
        measure.table(header, rows),
        f"float32 on both sides; medians (min–max) of {bench.size(3, 1)} rounds. Images: {bench.origin_of_photos()}. The rate of `extract` counts from the first decode to the last commit; "
        "the seconds are those of the whole process, which also loads the weights, embeds two texts and compares its first images with Burn's results. "
        "The weights' file has both towers. PyTorch's process has only the image tower, and decoded pixels; its peak is that of the passes, after loading.",
    ])


SECTION = measure.Section("extract", "Extraction, files to Parquet", section)

if __name__ == "__main__":
    measure.alone(SECTION)

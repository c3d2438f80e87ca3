#!/usr/bin/env python3
"""What activations cost on disk: layouts of a run's real activations, and bytes an image of the models' geometries.

    python3 benches/storage.py [--quick]
"""

import json
import shutil
import statistics
import subprocess

import measure
from measure import DEMO


def lines(*words):
    """The JSON objects that the example prints."""
    command = [str(word) for word in (measure.example("storage_cost"), *words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"storage_cost: {measure.last_lines(done.stderr)}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def layouts(bench):
    folder = bench.work / "storage"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    scenes = bench.size(8_192, 300)
    measure.child(measure.program(), "--quiet", "scenes", "--out", "world", "--scenes", scenes, "--captions", "0", folder=folder)
    command = [measure.program(), "--quiet", "extract", "--checkpoint", DEMO / "scenes-4", "--images", "world/images", "--runs", "runs"]
    measure.child(*command, "--texts", DEMO / "descriptions.csv", "--dataset", "storage", "--device", "cpu", folder=folder)
    measure.said("layouts")
    shape, *found = lines("layouts", folder / "runs", "storage", "scenes-4", folder, bench.size(5, 1))
    by_layout = {}
    for one in found:
        by_layout.setdefault((one["name"], one.get("half"), one.get("split")), []).append(one)
    plain = statistics.median(one["write"] for one in by_layout["plain file", None, None])
    rows = []
    for (name, half, split), runs in by_layout.items():
        size = runs[0]["bytes"]
        milliseconds = lambda key: measure.told([1000 * one[key] for one in runs]) if key in runs[0] else ""
        kind = {"headspan": "**as headspan writes it**", "plain file": "a plain file of the same size"}.get(name) or (
            f"{'Float16' if half else 'Float32'}, {'byte-stream-split' if split else 'plain'}, {name}")
        speed = size / 1e6 / statistics.median(one["write"] for one in runs)
        rows.append([kind, f"{size / 1e6:.2f}", f"{size / shape['raw']:.3f}", milliseconds("write"), f"{speed:.0f}",
                     f"{statistics.median(one['write'] for one in runs) / plain:.2f}", milliseconds("whole"), milliseconds("column")])
    header = ["vectors", "MB", "relative to the raw numbers", "write and sync, ms", "MB/s", "relative to the plain file's time", "read all, ms", "read one head's column, ms"]
    note = (f"Activations of {shape['images']:,} scenes under `scenes-4`: {shape['heads']} heads of {shape['head_dim']} numbers, {shape['d']} of the representation, in one file with one row group; "
            "medians (min–max), layouts in turn. A write ends when the disk has the file (fsync of file and folder). Reads are from the system's file cache, into Arrow arrays. "
            "Float16 keeps 11 significant bits; Polars cannot read it with byte-stream-split.")
    return measure.table(header, rows) + "\n\n" + note


def geometries(bench):
    rows = []
    for one in lines("geometries", bench.work):
        rows.append([one["name"], one["heads"], one["d"], one["counted"], f"{one['measured']:.0f}", f"{50_000 * one['measured'] / 1e9:.2f}",
                     f"{one['dense']:,}", f"{one['dense'] / one['measured']:.1f}", f"{one['all_layers']:,}"])
    header = ["geometry", "heads of the last four layers", "d", "bytes per image, counted", "measured", "GB for 50,000 images", "dense contributions of these heads, bytes", "times as many", "dense contributions of all heads, bytes"]
    return measure.table(header, rows)


def section(bench):
    return layouts(bench) + "\n\n" + geometries(bench)


SECTION = measure.Section("storage", "Storage", section)

if __name__ == "__main__":
    measure.alone(SECTION)

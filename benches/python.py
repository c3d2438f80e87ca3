#!/usr/bin/env python3
"""The Python module: what an import costs, how activations are handed over, and images of a program beside files.

    python3 benches/python.py [--quick]

Wants the package itself (`pip install .`), NumPy and datasets.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import measure

IMPORT = """
import sys, time
begun = time.perf_counter()
import headspan
print(time.perf_counter() - begun)
"""

HANDED = """
import json, sys, time
import numpy
import headspan
run = headspan.open(sys.argv[1])
head = run["L23.H7"]
resident = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024
seconds = lambda call: (lambda begun: (call(), time.perf_counter() - begun)[1])(time.perf_counter())
first = seconds(head.activations)
before = resident()
kept = [head.activations() for _ in range(20)]
more = resident() - before
again = sorted(seconds(head.activations) for _ in range(101))[50]
copy = sorted(seconds(lambda: kept[0].copy()) for _ in range(101))[50]
print(json.dumps({"shape": kept[0].shape, "first": first, "again": again, "copy": copy, "more": more}))
"""

SOURCES = """
import json, pathlib, sys
import datasets
import headspan
checkpoint, photos, runs, kind, name = sys.argv[1:]
images = photos
if kind == "datasets":
    paths = sorted(map(str, pathlib.Path(photos).rglob("*.jpg")))
    images = datasets.Dataset.from_dict({"image": paths}, features=datasets.Features({"image": datasets.Image()}))
headspan.run_all(checkpoint=checkpoint, images=images, runs=runs, dataset=name, texts=["a photo", "a picture"], k=1,
                 device="cpu", progress=False)
row = next(row for row in headspan.status(runs=runs, dataset=name) if row["stage"] == "images")
print(json.dumps(row["figures"] | {"seconds": row["seconds"], "rows": row["rows"]}))
"""


def run(script, *arguments):
    """What a script prints in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, TQDM_DISABLE="1"))
    if done.returncode != 0:
        raise RuntimeError(measure.last_lines(done.stderr))
    return done.stdout


def imports(bench):
    found = [1000 * float(run(IMPORT)) for _ in range(bench.size(11, 3))]
    return f"`import headspan` takes {measure.told(found)} ms (median, min–max of {len(found)} processes)."


def handed_over(bench):
    runs = bench.work / "python-runs"
    shutil.rmtree(runs, ignore_errors=True)
    measure.child(measure.example("synthetic_run"), runs, bench.size(50_000, 2_000))
    found = json.loads(run(HANDED, runs / "synthetic" / "ViT-L-14_random"))
    rows, columns = found["shape"]
    return (
        f"Activations of one head, {rows:,} × {columns}, as a NumPy array: {1000 * found['first']:.1f} ms the first time, which reads them "
        f"from the disk; then {1e6 * found['again']:.0f} µs (a copy of them takes {1e6 * found['copy']:.0f} µs). Twenty such arrays take {found['more']:.1f} MiB more memory: "
        "they are the run's own."
    )


def sources(bench):
    checkpoint, photos = bench.checkpoint("ViT-B-32"), bench.photos()
    runs = bench.work / "python-sources"
    shutil.rmtree(runs, ignore_errors=True)
    found = {"a folder of files": [], "`datasets.Dataset`": []}
    for number in range(bench.size(5, 1)):
        for kind, times in zip(("files", "datasets"), found.values()):
            one = json.loads(run(SOURCES, checkpoint, photos, runs, kind, f"{kind}-{number}"))
            times.append(one["rows"] / one["seconds"])
            shutil.rmtree(runs)
    base = found["a folder of files"]
    rows = [[kind, measure.told(times), measure.ratio(times, base)] for kind, times in found.items()]
    note = "The whole stage on ViT-B/32 with random weights, in alternation, with what comes before and after the images."
    return measure.table(["images from", "images/s", "relative"], rows) + "\n\n" + note


def section(bench):
    measure.needs("headspan", "numpy", "datasets")
    return "\n\n".join((imports(bench), handed_over(bench), sources(bench)))


SECTION = measure.Section("python", "The Python module", section)

if __name__ == "__main__":
    measure.alone(SECTION)

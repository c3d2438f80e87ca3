#!/usr/bin/env python3
"""The image tower and the whole stage on a GPU, beside PyTorch on the same one and our own pass on the CPU, in alternation.

Of several cards the first is used. Without one nothing is measured; `--quick` makes do with a software renderer, to check the script.

    python3 benches/gpu.py [--quick] [--images FOLDER]
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys

import measure

MODELS = ("ViT-B-32", "ViT-L-14")
# Images that are timed, and of one batch.
IMAGES = {"ViT-B-32": 2048, "ViT-L-14": 512}
BATCH = 256
PRECISIONS = ("float32", "float16", "bfloat16")
PYTORCH = {
    "PyTorch eager": "cuda-eager",
    "PyTorch compiled": "cuda-compiled",
    "PyTorch TF32": "cuda-tf32",
    "PyTorch compiled TF32": "cuda-compiled-tf32",
    "PyTorch compiled float16": "cuda-compiled-float16",
    "PyTorch float16": "cuda-float16",
    "PyTorch bfloat16": "cuda-bfloat16",
}


def devices(bench):
    """Kinds of GPU that headspan reaches, and their names."""
    told = subprocess.run([measure.program(), "doctor"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2)[1:] for line in told.splitlines() if line.startswith("device ")]
    found = {kind: name for kind, name in lines if kind in ("wgpu", "cuda") and (bench.quick or "software" not in name)}
    if not found:
        raise measure.Missing("headspan finds no GPU here (`headspan doctor`)")
    return found


def card():
    """What PyTorch and the driver say of the card."""
    code = "import torch; print(f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}' if torch.cuda.is_available() else 'no card')"
    driver = measure.output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return f"PyTorch's: {measure.output(sys.executable, '-c', code) or 'no PyTorch'}; driver {driver.splitlines()[0] if driver else 'unknown'}"


class Rows:
    """What failed, by row: an error takes its own row along, not the section. A precision that a device lacks ends a worker."""

    def __init__(self):
        self.failed = {}

    @contextlib.contextmanager
    def row(self, name):
        try:
            yield
        except (RuntimeError, OSError, KeyError, TypeError, ValueError) as error:
            measure.said(f"{name}: {error}")
            self.failed.setdefault(name, f"**failed**: {error}".replace("|", "/").replace("\n", " ")[:300])

    def guarded(self, name, method):
        """The method's value; not a number once it has failed."""

        def call():
            if name not in self.failed:
                with self.row(name):
                    return method()
            return float("nan")

        return call


def difference(bench, checkpoint, worker, reference):
    """Of the dense contributions of two images, from those of our pass on the CPU, over the largest value."""
    pixels, ours, theirs = bench.work / "gpu-pixels.f32", bench.work / "gpu.f32", bench.work / "cpu.f32"
    reference.ask("expect", pixels, bench.work / "pytorch.f32", 2, 4)
    with measure.workers({"cpu": lambda: measure.vision_pass(bench, checkpoint, "float32")}) as side:
        side["cpu"].ask("contributions", pixels, theirs)
    worker.ask("contributions", pixels, ours)
    return reference.ask("differ", theirs, ours)


def model(bench, name, kinds):
    checkpoint = bench.checkpoint(name)
    images = bench.size(IMAGES[name], 4)
    batch = min(BATCH, images)
    commands = {method: lambda mode=mode: measure.pytorch(bench, mode, checkpoint) for method, mode in PYTORCH.items()}
    for kind in kinds:
        for precision in PRECISIONS:
            commands[f"headspan {kind} {precision}"] = lambda kind=kind, precision=precision: measure.vision_pass(bench, checkpoint, precision, kind)
    commands["reference"] = lambda: measure.pytorch(bench, "heads", checkpoint)
    with measure.workers(commands) as side:
        reference = side.pop("reference")
        methods, errors, rows = {}, {}, Rows()
        for method, worker in side.items():
            with rows.row(method):
                if method in PYTORCH and worker.ask("there") == 0:
                    continue
                for _ in range(2):  # kernels are compiled and tuned in the first passes
                    worker.ask("pass", images, batch)
                methods[method] = rows.guarded(method, lambda worker=worker: images / worker.ask("pass", images, batch))
                errors[method] = "" if method in PYTORCH else f"{difference(bench, checkpoint, worker, reference):.1e}"
        rates = measure.alternate(methods, bench.size(5, 1), warm=0)
    good = {method: found for method, found in rates.items() if method not in rows.failed}
    base = next(iter(good.values()), None)
    cells = lambda method: [measure.told(good[method], 1), measure.ratio(good[method], base), errors[method]] if method in good else [rows.failed[method], "", ""]
    return [[name, method, *cells(method)] for method in side if method in good or method in rows.failed]


def many_photos(bench):
    """Hard links of the photos, enough for a card that reads them in seconds."""
    folder, wanted = bench.work / "photos-of-gpu", bench.size(20_000, 8)
    files = sorted(file for file in bench.photos().rglob("*") if file.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number in range(wanted):
        file = files[number % len(files)]
        own = folder / f"{number:06}{file.suffix.lower()}"
        try:
            os.link(file, own)
        except OSError:  # another file system
            shutil.copyfile(file, own)
    return folder


def stage(bench, name, kinds):
    """Rate of `extract`, and what its record says."""
    checkpoint, photos = bench.checkpoint(name), many_photos(bench)
    cells, rows = {}, Rows()
    for kind in kinds:
        for precision in PRECISIONS[:2]:
            with rows.row((kind, precision)):
                extract(bench, checkpoint, photos, kind, precision, bench.size(5_000, 4))  # not timed: kernels are compiled and tuned
                figures = extract(bench, checkpoint, photos, kind, precision, bench.size(10**6, 4))
                cells[kind, precision] = [
                    figures["images"], f"{figures['images_per_second']:.1f}", f"{100 * figures['busy_share']:.0f} %",
                    figures["pace"]["batch"], f"{figures['identity_error']:.1e}", f"{figures['probe_error']:.1e}"]
            if (kind, precision) in rows.failed:
                cells[kind, precision] = ["", rows.failed[kind, precision], "", "", "", ""]
    shutil.rmtree(photos)
    return [[name, *row, *own] for row, own in cells.items()]


def extract(bench, checkpoint, photos, kind, precision, limit):
    """Figures of the record."""
    runs, settings = bench.work / "runs-of-gpu", bench.work / "gpu.toml"
    shutil.rmtree(runs, ignore_errors=True)
    settings.write_text(f'[images]\nprecision = "{precision}"\n')
    command = [measure.program(), "--quiet", "extract", "--checkpoint", checkpoint, "--images", photos, "--runs", runs, "--dataset", "bench"]
    measure.child(*command, "--limit", limit, "--config", settings, "--texts", bench.two_texts(), "--device", kind)
    return json.loads((runs / "bench" / checkpoint.name / "stages/images.json").read_text())["figures"]


def section(bench):
    kinds = devices(bench)
    passes, stages = [], []
    for name in bench.size(MODELS, MODELS[:1]):
        measure.said(name)
        passes += model(bench, name, kinds)
        stages += stage(bench, name, [kind for kind, device in kinds.items() if "software" not in device])
    return "\n\n".join([
        "; ".join(f"{kind}: {name}" for kind, name in kinds.items()) + f". {card()}.",
        measure.table(["model", "pass", "images/s, median (min–max)", "of the first row", "contributions off the CPU's"], passes),
        measure.table(["model", "device", "precision", "images", "`extract`, images/s", "busy", "batch", "sum identity", "CPU probe"], stages),
        f"Passes over pixels in main memory, {BATCH} images a batch, results read back, {bench.size(5, 1)} rounds; PyTorch's pixels are pinned; ours with the heads of the last four layers. Differences are of the largest value. "
        f"`extract`: hard links of {bench.origin_of_photos()}, after a run that is not timed, decoded on {bench.threads} threads; busy is the share of time in which the device had a pass to do.",
    ])


SECTION = measure.Section("gpu", "GPUs", section)

if __name__ == "__main__":
    measure.alone(SECTION)

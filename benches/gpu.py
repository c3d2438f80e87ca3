#!/usr/bin/env python3
"""The image tower and the whole stage on a GPU, beside PyTorch on the same one and our own pass on the CPU, in alternation.

Of several cards the first is used. Without one nothing is measured; `--quick` makes do with a software renderer, to check the script.

    python3 benches/gpu.py [--quick] [--images FOLDER]
"""

import json
import shutil
import statistics
import subprocess

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


def works(worker, *words):
    """Whether a worker answers: a precision that a device lacks ends it."""
    try:
        return worker.ask(*words) is not None
    except RuntimeError as error:
        measure.said(f"left out: {error}")
        return False


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
        methods, errors = {}, {}
        for method, worker in side.items():
            if method in PYTORCH and worker.ask("there") == 0:
                continue
            # Twice: kernels are compiled and tuned in the first passes.
            if not all(works(worker, "pass", images, batch) for _ in range(2)):
                continue
            methods[method] = lambda worker=worker: images / worker.ask("pass", images, batch)
            errors[method] = "" if method in PYTORCH else f"{difference(bench, checkpoint, worker, reference):.1e}"
        rates = measure.alternate(methods, bench.size(5, 1), warm=0)
    base = next(iter(rates.values()))
    return [[name, method, measure.told(found, 1), measure.ratio(found, base), errors[method]] for method, found in rates.items()]


def stage(bench, name, kinds):
    """Rate of `extract`, and what its record says."""
    checkpoint, photos = bench.checkpoint(name), bench.photos()
    rows = []
    for kind in kinds:
        for precision in PRECISIONS[:2]:
            runs = bench.work / "runs-of-gpu"
            shutil.rmtree(runs, ignore_errors=True)
            command = [measure.program(), "--quiet", "extract", "--checkpoint", checkpoint, "--images", photos, "--runs", runs, "--dataset", "bench"]
            limit = ["--limit", bench.size(10**6, 4)]
            settings = bench.work / "gpu.toml"
            settings.write_text(f'[images]\nprecision = "{precision}"\n')
            measure.child(*command, *limit, "--config", settings, "--texts", bench.two_texts(), "--device", kind)
            figures = json.loads((runs / "bench" / checkpoint.name / "stages/images.json").read_text())["figures"]
            rows.append([name, kind, precision, figures["images"], f"{figures['images_per_second']:.1f}", f"{100 * figures['busy_share']:.0f} %",
                         figures["pace"]["batch"], f"{figures['identity_error']:.1e}", f"{figures['probe_error']:.1e}"])
    return rows


def section(bench):
    kinds = devices(bench)
    passes, stages = [], []
    for name in bench.size(MODELS, MODELS[:1]):
        measure.said(name)
        passes += model(bench, name, kinds)
        stages += stage(bench, name, kinds)
    return "\n\n".join([
        "; ".join(f"{kind}: {name}" for kind, name in kinds.items()) + ".",
        measure.table(["model", "pass", "images/s, median (min–max)", "of the first row", "contributions off the CPU's"], passes),
        measure.table(["model", "device", "precision", "images", "`extract`, images/s", "busy", "batch", "sum identity", "CPU probe"], stages),
        f"Passes over pixels in main memory, {BATCH} images a batch, results read back; ours with the heads of the last four layers. Differences are of the largest value. "
        f"`extract`: {bench.origin_of_photos()}, decoded on {bench.threads} threads; busy is the share of time in which the device had a pass to do.",
    ])


SECTION = measure.Section("gpu", "GPUs", section)

if __name__ == "__main__":
    measure.alone(SECTION)

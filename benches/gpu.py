#!/usr/bin/env python3
"""The image tower and the whole stage on a GPU, next to PyTorch on the same GPU and our own pass on the CPU, in alternation.

With several cards, the first is used. Without a card nothing is measured; `--quick` accepts a software renderer, to check the script.
`tools/gpu/check.sh` runs the same measurements on a machine whose time is short.

    python3 benches/gpu.py [--quick] [--images FOLDER]
"""

import array
import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import math
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import measure

MODELS = ("ViT-B-32", "ViT-B-16", "ViT-L-14")
# Most images of one timed pass, and images per batch. A slow pass gets fewer whole batches: as many as fit into `PASS_SECONDS`.
IMAGES = {"ViT-B-32": 2048, "ViT-B-16": 1024, "ViT-L-14": 512}
BATCH = 256
CPU_BATCH = 32
PASS_SECONDS = 3.0
# Of the whole stage where time is limited: seconds to load and check the model, and the least images: one part of the table.
LOADING, LEAST = 10, 1024
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
CPU = "headspan cpu float32"
PASSES = ["model", "pass", "images/s, median (min–max)", "relative to the first row", "largest difference from our CPU pass", "seconds of the first pass"]
STAGES = ["model", "device", "precision", "images", "`extract`, images/s", "utilisation", "batch", "sum identity", "CPU probe"]


@dataclasses.dataclass
class Limits:
    """When to stop (of `time.monotonic()`), and who gets the rows measured so far. By default there is no limit."""

    until: float = math.inf
    partly: collections.abc.Callable = lambda rows: None
    stage_images: int = 20_000
    stage_warm: int = 5_000

    def left(self):
        return self.until - time.monotonic()


def devices(bench):
    """Kinds of GPU that headspan reaches, and their names."""
    told = subprocess.run([measure.program(), "doctor"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2)[1:] for line in told.splitlines() if line.startswith("device ")]
    found = {kind: name for kind, name in lines if kind in ("wgpu", "cuda") and (bench.quick or "software" not in name)}
    if not found:
        raise measure.Missing("headspan finds no GPU here (`headspan doctor`)")
    return found


@functools.cache
def pytorch_card():
    """Name of the card that PyTorch sees, and its CUDA; raises `measure.Missing` without one."""
    measure.needs("torch", "open_clip", "torchvision", "safetensors", "PIL")
    code = "import torch; print(f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}' if torch.cuda.is_available() else '')"
    told = measure.output(sys.executable, "-c", code)
    if not told:
        raise measure.Missing("PyTorch sees no card" if told == "" else "PyTorch cannot be imported")
    return told


def card():
    """What PyTorch and the driver say about the card."""
    driver = measure.output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    try:
        told = pytorch_card()
    except measure.Missing as missing:
        told = missing
    return f"PyTorch: {told}; driver {driver.splitlines()[0] if driver else 'unknown'}"


class Rows:
    """What failed, by row: an error costs its own row, not the section. A precision that a device lacks ends a worker."""

    def __init__(self):
        self.failed = {}

    @contextlib.contextmanager
    def row(self, name):
        try:
            yield
        except (RuntimeError, OSError, KeyError, TypeError, ValueError, measure.Missing) as error:
            measure.said(f"{name}: {error}")
            self.failed.setdefault(name, f"**failed**: {error}".replace("|", "/").replace("\n", " ")[:300])


@contextlib.contextmanager
def patience(worker, until):
    """Ends a worker that has not answered by `until`: a hanging driver must not take the other rows along."""
    if math.isinf(until):
        yield
        return
    timer = threading.Timer(max(0.0, until - time.monotonic()), worker.process.kill)
    timer.start()
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError("no answer in time") if time.monotonic() >= until else error
    finally:
        timer.cancel()


class Side:
    """The workers of one model: started and warmed up, each with the number of images per pass that suits it."""

    def __init__(self, bench, name, kinds, limits):
        self.bench, self.limits, self.rows = bench, limits, Rows()
        self.checkpoint = bench.checkpoint(name)
        self.most = bench.size(IMAGES[name], 4)
        now, left = time.monotonic(), limits.left()
        # Shares of the time for: loading PyTorch, our first passes, theirs. The rest, and what these leave, is for rounds.
        self.loaded_by, self.ours_by, self.ready_by = now + 0.25 * left, now + 0.7 * left, now + 0.8 * left
        self.name, self.workers, self.stack, self.telling = name, {}, contextlib.ExitStack(), threading.Lock()
        # By method: images per timed pass, seconds of the first pass, images/s of the second and of the rounds, differences.
        self.images, self.first, self.second, self.found, self.errors = {}, {}, {}, {}, {}
        vision_pass = lambda *how: lambda: measure.vision_pass(bench, self.checkpoint, *how)
        commands = {}
        with self.rows.row("PyTorch"):
            pytorch_card()
            commands = {method: lambda mode=mode: measure.pytorch(bench, mode, self.checkpoint) for method, mode in PYTORCH.items()}
        commands |= {f"headspan {kind} {precision}": vision_pass(precision, kind) for kind in kinds for precision in bench.size(PRECISIONS, PRECISIONS[:1])}
        self.commands = commands | {CPU: vision_pass("float32")}

    def __enter__(self):
        for method, start in self.commands.items():
            with self.rows.row(method):
                self.workers[method] = self.stack.enter_context(contextlib.closing(start()))
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def batch(self, method):
        return min(CPU_BATCH if method == CPU else BATCH, self.most)

    def warm_up(self):
        """Ours first, once PyTorch's processes have loaded and the card is idle: Burn picks kernels by their time."""
        theirs = [method for method in PYTORCH if method in self.workers]
        for method in theirs:
            with self.rows.row(method), patience(self.workers[method], self.loaded_by):
                self.workers[method].ask("there")
        compiled = [method for method in theirs if "compiled" in method]
        eager = [method for method in theirs if method not in compiled]
        # Our pass on the CPU comes first, since the others are compared with it.
        ours = [CPU, *(method for method in self.workers if method not in (*PYTORCH, CPU))]
        with concurrent.futures.ThreadPoolExecutor(max(1, len(compiled))) as pool:
            # What torch.compile does is mostly work for the CPU. Where time is short it happens beside our first passes.
            short = not math.isinf(self.ready_by)
            compiling = [pool.submit(self.first_passes, method, self.ready_by) for method in compiled if short]
            for number, method in enumerate(ours):
                until = time.monotonic() + (self.ours_by - time.monotonic()) / (len(ours) - number)
                self.first_passes(method, until)
                self.compare_with_cpu(method, until)
            for method in eager:
                self.first_passes(method, self.ready_by)
            compiling += [pool.submit(self.first_passes, method, self.ready_by) for method in compiled if not short]
            for future in compiling:
                future.result()

    def first_passes(self, method, until):
        """Kernels are compiled and tuned in the first pass; the second one tells how many batches a timed pass gets."""
        if method not in self.workers or method in self.rows.failed:
            return
        worker, batch = self.workers[method], self.batch(method)
        with self.rows.row(method), patience(worker, until):
            begun = time.monotonic()
            worker.ask("pass", batch, batch)
            self.first[method] = time.monotonic() - begun
            seconds = worker.ask("pass", batch, batch)
            self.second[method] = batch / seconds
            self.images[method] = batch * max(1, min(self.most // batch, int(PASS_SECONDS / seconds)))
            measure.said(f"{method}: first pass {self.first[method]:.1f} s, then {self.second[method]:.1f} images/s")
        self.tell()

    def compare_with_cpu(self, method, until):
        """Dense contributions of two images; the difference from our pass on the CPU, relative to the largest value."""
        if method not in self.images:
            return
        pixels, out, reference = (self.bench.work / name for name in ("gpu-pixels.f32", "gpu.f32", "cpu.f32"))
        if method == CPU:
            draw = random.Random(0).gauss
            pixels.write_bytes(array.array("f", (draw(0.0, 1.0) for _ in range(2 * 3 * 224 * 224))).tobytes())
            reference.unlink(missing_ok=True)
            out = reference
        with self.rows.row(method), patience(self.workers[method], until):
            self.workers[method].ask("contributions", pixels, out)
            if method != CPU and reference.is_file():
                self.errors[method] = f"{difference(out, reference):.1e}"

    def measure(self):
        """Rounds of all that are ready, each in turn; rows after every round."""
        self.warm_up()
        self.found = {method: [] for method in self.commands if method in self.images}
        for _ in range(self.bench.size(5, 1)):
            for method in [method for method in self.found if method not in self.rows.failed]:
                if self.limits.left() <= 0:
                    break
                with self.rows.row(method), patience(self.workers[method], self.limits.until):
                    images = self.images[method]
                    self.found[method].append(images / self.workers[method].ask("pass", images, self.batch(method)))
            self.tell()
        return self.table()

    def tell(self):
        with self.telling:
            self.limits.partly(self.table())

    def table(self):
        """Rates of the rounds; of a method that no round reached, the rate of its second pass."""
        rates = {method: self.found.get(method) or [self.second[method]] for method in self.commands if method in self.second}
        base = next(iter(rates.values()), None)
        rows = []
        for method in ("PyTorch", *self.commands):
            if method in rates:
                note = "" if self.found.get(method) else ", one batch" + (f"; {self.rows.failed[method]}" if method in self.rows.failed else "")
                rows.append([self.name, method, measure.told(rates[method], 1) + note, measure.ratio(rates[method], base), self.errors.get(method, ""), f"{self.first[method]:.1f}"])
            elif method in self.rows.failed:
                rows.append([self.name, method, self.rows.failed[method], "", "", ""])
        return rows


def difference(file, reference):
    """Of two files of float32, relative to the largest value of the second."""
    one, other = array.array("f", file.read_bytes()), array.array("f", reference.read_bytes())
    if len(one) != len(other) or not all(map(math.isfinite, one)):
        raise RuntimeError("contributions that are not finite, or too few of them")
    return max(abs(x - y) for x, y in zip(one, other)) / max(map(abs, other))


def model(bench, name, kinds, limits=Limits()):
    with Side(bench, name, kinds, limits) as side:
        return side.measure()


def many_photos(bench, wanted):
    """Hard links to the photos: enough of them for a card that reads them in seconds."""
    folder = bench.work / "photos-of-gpu"
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


def stage(bench, name, devices, limits=Limits(), rates={}):
    """Rate of `extract`, and what its record says. `devices` are pairs of device and precision. Where time is limited, `rates` (images/s of passes
    alone, and seconds of the first one) tell how many images fit."""
    checkpoint, most = bench.checkpoint(name), bench.size(limits.stage_images, 8)
    photos = many_photos(bench, most)
    done, rows = [], Rows()
    for number, (kind, precision) in enumerate(devices):
        row = (kind, precision)
        cells = ["", "", "", "", "", ""]
        with rows.row(row):
            until = time.monotonic() + limits.left() / (len(devices) - number)
            rate, first = rates.get(f"headspan {kind} {precision}", (math.inf, 0.0))
            if limits.stage_warm:
                # Not timed. Fills the driver's cache of compiled kernels; Burn keeps what it tuned only if it was built with `persistence`.
                extract(bench, checkpoint, photos, kind, precision, bench.size(limits.stage_warm, 4))
            # Before the first image: loading, the checks of the first images, the texts; each compiles and tunes kernels of its own.
            seconds = max(1.0, until - time.monotonic() - LOADING - 3 * first)
            figures = extract(bench, checkpoint, photos, kind, precision, min(most, max(LEAST, int(min(most, rate * seconds)))))
            cells = [
                figures["images"], f"{figures['images_per_second']:.1f}", f"{100 * figures['busy_share']:.0f} %",
                figures["pace"].get("batch", ""), f"{figures['identity_error']:.1e}", f"{figures['probe_error']:.1e}"]
        if row in rows.failed:
            cells[1] = rows.failed[row]
        done.append([name, *row, *cells])
        limits.partly(done)
    shutil.rmtree(photos)
    return done


def extract(bench, checkpoint, photos, kind, precision, limit):
    """Figures of the record."""
    runs, settings = bench.work / "runs-of-gpu", bench.work / "gpu.toml"
    shutil.rmtree(runs, ignore_errors=True)
    settings.write_text(f'[images]\nprecision = "{precision}"\n')
    command = [measure.program(), "--quiet", "extract", "--checkpoint", checkpoint, "--images", photos, "--runs", runs, "--dataset", "bench"]
    measure.child(*command, "--limit", limit, "--config", settings, "--texts", bench.two_texts(), "--device", kind)
    return json.loads((runs / "bench" / checkpoint.name / "stages/images.json").read_text())["figures"]


def passes_told(bench):
    return (
        f"Passes over pixels in main memory, {BATCH} images per batch ({CPU_BATCH} on the CPU), at most {', '.join(map(str, IMAGES.values()))} images per pass and "
        f"fewer whole batches where a pass would take over {PASS_SECONDS:.0f} s; results are read back. Rounds in alternation: {bench.size(5, 1)}, or as many as the time allowed. PyTorch's pixels are pinned, and it returns "
        "the features alone; ours returns the heads of the last four layers too. Differences are those of the heads' dense contributions, relative to the largest value. The first pass "
        "compiles and tunes kernels (those of torch.compile at the same time)."
    )


def stages_told(bench, origin=None):
    return (
        f"`extract`: hard links to {origin or bench.origin_of_photos()}, decoded on {bench.threads} threads, from the first decode to the last commit; utilisation is the share of the time in which the device had a pass to compute."
    )


def section(bench):
    kinds = devices(bench)
    passes, stages = [], []
    for name in bench.size(MODELS, MODELS[:1]):
        measure.said(name)
        passes += model(bench, name, kinds)
        cards = [kind for kind, device in kinds.items() if "software" not in device]
        stages += stage(bench, name, [(kind, precision) for kind in cards for precision in PRECISIONS[:2]])
    return "\n\n".join([
        "; ".join(f"{kind}: {name}" for kind, name in kinds.items()) + f". {card()}.",
        measure.table(PASSES, passes),
        measure.table(STAGES, stages),
        f"{passes_told(bench)} {stages_told(bench)}",
    ])


SECTION = measure.Section("gpu", "GPUs", section)

if __name__ == "__main__":
    measure.alone(SECTION)

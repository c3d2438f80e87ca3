#!/usr/bin/env python3
"""The image tower alone: our CPU pass beside PyTorch's plain `encode_image`, and beside ONNX Runtime and OpenVINO where they are installed,
on the same random weights and threads, in alternation.

Ours also gives what the decomposition needs; the others give the features alone.

    python3 benches/forward.py [--quick] [--threads N]
"""

import json
import statistics

import measure
from measure import BATCH, IMAGES

FLOAT32 = ("PyTorch eager", "PyTorch compiled")
# Other libraries that run the exported tower: mode of pytorch_side.py, and what has to be installed.
PEERS = {
    "ONNX Runtime": ("onnx-runtime", "onnxruntime"),
    "OpenVINO": ("openvino", "openvino"),
    "OpenVINO bfloat16": ("openvino-bfloat16", "openvino"),
}
PEAK = "multiply-adds on registers (the machine's peak)"


def operations(checkpoint):
    """Floating-point operations of an image, two a multiply-add, that the features need: of the last block's query, output and
    MLP the class token's alone. Norms, softmax and activations are not counted."""
    model = json.loads((checkpoint / "open_clip_config.json").read_text())["model_cfg"]
    vision, d = model["vision_cfg"], model["embed_dim"]
    width, patch, layers = vision["width"], vision["patch_size"], vision["layers"]
    tokens = (vision["image_size"] // patch) ** 2 + 1
    block = lambda rows: rows * width * width * (1 + 1 + 8) + tokens * width * width * 2 + 2 * rows * tokens * width
    return 2 * ((tokens - 1) * 3 * patch**2 * width + (layers - 1) * block(tokens) + block(1) + width * d)


def peaks(bench):
    """GFLOP/s of multiply-adds alone, and of the best plain products."""
    size = bench.size(2048, 256)
    commands = {
        "ours": lambda: measure.Worker(measure.example("multiply_add_peak"), threads=bench.threads),
        "theirs": lambda: measure.pytorch(bench, "product"),
    }
    with measure.workers(commands) as side:
        work = 2 * size**3 / 1e9
        methods = {
            PEAK: lambda: side["ours"].ask("peak"),
            f"product of {size} × {size}, PyTorch `torch.mm`": lambda: work / side["theirs"].ask("product", size),
            f"product of {size} × {size}, Burn's flex (`gemm` crate)": lambda: side["ours"].ask("product", size),
        }
        return measure.alternate(methods, bench.size(7, 2), warm=2)


def model(bench, name):
    """Rates by pass and of the peak, in one rotation; the passes' memory."""
    checkpoint = bench.checkpoint(name)
    images = bench.size(IMAGES[name] * max(1, bench.threads // 2), 2)
    batch = min(BATCH[name] * max(1, bench.threads // 2), images)
    commands = {
        "PyTorch eager": lambda: measure.pytorch(bench, "eager", checkpoint),
        "PyTorch compiled": lambda: measure.pytorch(bench, "compiled", checkpoint),
        "PyTorch bfloat16": lambda: measure.pytorch(bench, "bfloat16", checkpoint),
        "headspan": lambda: measure.vision_pass(bench, checkpoint, "float32"),
        "headspan bfloat16": lambda: measure.vision_pass(bench, checkpoint, "bfloat16"),
    }
    if measure.has_tiles():
        commands["headspan without tiles"] = lambda: measure.vision_pass(bench, checkpoint, "float32-vectors")
        commands["headspan bfloat16 without tiles"] = lambda: measure.vision_pass(bench, checkpoint, "bfloat16-vectors")
    commands |= {method: lambda mode=mode: measure.pytorch(bench, mode, checkpoint) for method, (mode, module) in PEERS.items() if measure.has(module)}
    with measure.workers(commands) as side:
        methods = {}
        for method, worker in side.items():
            ours = method.startswith("headspan")
            words = ["pass", images] + ([] if ours else [batch])
            worker.ask(*words)  # load, warm up, compile
            if ours:
                worker.settle(*words)
            worker.forget_peak()
            methods[method] = lambda worker=worker, words=words: images / worker.ask(*words)
        with measure.workers({PEAK: lambda: measure.Worker(measure.example("multiply_add_peak"), threads=bench.threads)}) as machine:
            machine[PEAK].ask("peak")
            methods[PEAK] = lambda: machine[PEAK].ask("peak")
            rates = measure.alternate(methods, bench.size(4, 1), warm=0)
        memory = {method: worker.peak() for method, worker in side.items()}
    return rates, memory


def rows_of(name, rates, memory, giga, peak):
    base = max((rates[method] for method in FLOAT32), key=statistics.median)
    rows = []
    for method in memory:
        found = rates[method]
        share = "" if "bfloat16" in method else f"{100 * statistics.median(found) * giga / peak:.0f} %"
        rows.append([name, method, measure.told(found, 2), measure.ratio(found, base), share, f"{memory[method]:.0f}"])
    return rows


def section(bench):
    measured = peaks(bench)
    passes = {}
    for name in bench.models():
        measure.said(name)
        passes[name] = model(bench, name)
        measured[PEAK] += passes[name][0][PEAK]
    peak = max(measured[PEAK])
    giga = {name: operations(bench.checkpoint(name)) / 1e9 for name in passes}
    rows = [row for name, (rates, memory) in passes.items() for row in rows_of(name, rates, memory, giga[name], peak)]
    needed = [f"{name} {of:.1f}" for name, of in giga.items()]
    header = ["model", "pass", "images/s, median (min–max)", "relative to PyTorch's best float32", "of the machine's peak", "peak MiB"]
    floor = [[what, measure.told(found, 0), measure.ratio(found, [peak])] for what, found in measured.items()]
    body = "\n\n".join([
        measure.table(["float32", "GFLOP/s, median (min–max)", "of the peak"], floor),
        measure.table(header, rows),
        f"The peak is the largest rate of the multiply-adds, {peak:.0f} GFLOP/s. It was measured {bench.size(7, 2)} times in turn with the products, and once in each round of the passes. "
        f"Products: {bench.size(7, 2)} rounds; passes: {bench.size(4, 1)}.",
        f"GFLOP per image that the features need: {', '.join(needed)} (computed from the geometry, two per multiply-add; in the last block "
        "only the class token's query, output and MLP). A pass that computes more gets no credit for it. Peak memory is that of the process during the passes, after loading. "
        "The other processes hold only the image tower, as ours do; PyTorch's export of it for ONNX Runtime and OpenVINO is not timed. OpenVINO has the throughput hint.",
    ])
    for name, (rates, _memory) in passes.items():
        best = max((rates[method] for method in FLOAT32), key=statistics.median)
        measure.figure(f"{name}, float32, images/s vs. PyTorch's best", rates["headspan"], best)
        measure.figure(f"{name}, bfloat16, images/s vs. PyTorch's", rates["headspan bfloat16"], rates["PyTorch bfloat16"])
        measure.figure(f"{name}, float32, % of the largest rate of multiply-adds", [100 * rate * giga[name] / peak for rate in rates["headspan"]])
    measure.figure("largest rate of multiply-adds, float32, GFLOP/s", [peak])
    return body


SECTION = measure.Section("forward", "The forward pass", section)

if __name__ == "__main__":
    measure.alone(SECTION)

#!/usr/bin/env python3
"""The dense decomposition `[images, layers, tokens, heads, d]` in PyTorch beside headspan's pass, which gives the heads' outputs in
head space; both from the same weights, in alternation. First, on one batch, that both give the same contributions.

    python3 benches/decomposition.py [--quick] [--threads N]
"""

import statistics

import measure

LAYERS = 4
# Relative to the largest contribution: float32 rounding through 24 blocks stays below 1e-5.
TOLERANCE = 1e-4
PUBLISHED = "PyTorch, dense, every query token (what the published code lays out)"
# Images of one measurement, and of one batch of PyTorch's.
IMAGES = {"ViT-B-32": (16, 8), "ViT-B-16": (8, 4), "ViT-L-14": (2, 1)}
# The same of the published way, and how many blocks are run. In every block it makes n²·heads·width numbers an image: 0.1 GB for ViT-B/32,
# 1.4 for ViT-B/16, 4.3 for ViT-L/14, where a whole pass over one image takes minutes.
PUBLISHED_IMAGES = {"ViT-B-32": (4, 4), "ViT-B-16": (1, 1), "ViT-L-14": (1, 1)}
PUBLISHED_BLOCKS = {"ViT-B-32": None, "ViT-B-16": 2, "ViT-L-14": 1}


def check(bench, checkpoint, side):
    """Largest difference between the contributions of each way and ours, over the largest; a file of pixels is the question."""
    pixels, ours = bench.work / "pixels.f32", bench.work / "ours.f32"
    pixels.unlink(missing_ok=True)
    errors = {}
    for name, worker in side.items():
        if not name.startswith("PyTorch") or (name == PUBLISHED and PUBLISHED_BLOCKS[checkpoint.name]):
            continue
        theirs = bench.work / "theirs.f32"
        worker.ask("expect", pixels, theirs, bench.size(2, 1), LAYERS)
        if not errors:
            side["headspan"].ask("contributions", pixels, ours)
        errors[name] = worker.ask("differ", theirs, ours)
    if not max(errors.values()) <= TOLERANCE:
        raise RuntimeError(f"{checkpoint.name}: the contributions differ by {max(errors.values()):.1e} of the largest")
    return max(errors.values())


def rounds(bench, name):
    return bench.size(5 if name == "ViT-B-32" else 3, 1)


def model(bench, name):
    checkpoint = bench.checkpoint(name)
    commands = {
        PUBLISHED: lambda: measure.pytorch(bench, "all-queries", checkpoint),
        "PyTorch, dense, the class token's query alone": lambda: measure.pytorch(bench, "class-query", checkpoint),
        "PyTorch, heads without tokens": lambda: measure.pytorch(bench, "heads", checkpoint),
        "headspan, heads": lambda: measure.vision_pass(bench, checkpoint, "float32"),
        "headspan, attention and values of every token kept": lambda: measure.vision_pass(bench, checkpoint, "tokens"),
        "Burn, attention and values of every token kept": lambda: measure.vision_pass(bench, checkpoint, "burn-tokens"),
    }
    blocks = PUBLISHED_BLOCKS[name]
    with measure.workers(commands) as side:
        error = check(bench, checkpoint, {**side, "headspan": side["headspan, heads"]})
        slower = side[PUBLISHED].ask("blocks", blocks) / blocks if blocks else 1
        methods = {}
        for method, worker in side.items():
            images, batch = (PUBLISHED_IMAGES if method == PUBLISHED else IMAGES)[name]
            images = bench.size(images, 1) / (slower if method == PUBLISHED else 1)
            count = max(1, round(images))
            words = ["pass", count] + ([min(batch, count)] if method.startswith("PyTorch") else [])
            methods[method] = lambda worker=worker, words=words, images=images: images / worker.ask(*words)
            if not method.startswith("PyTorch"):
                worker.settle(*words)
            worker.forget_peak()
        rates = measure.alternate(methods, rounds(bench, name), warm=0 if bench.quick or blocks else 1)
        memory = {method: f"{worker.peak():.0f}" for method, worker in side.items()}
    if blocks:
        memory[PUBLISHED] = f"at least {memory[PUBLISHED]}"
    ours = rates["headspan, heads"]
    rows = [[name, method, measure.told(found, 3 if method == PUBLISHED else 2), f"{statistics.median(ours) / statistics.median(found):.1f}", memory[method]]
            for method, found in rates.items()]
    return rows, f"{name} {error:.1e}"


def section(bench):
    rows, errors = [], []
    for name in bench.models():
        measure.said(name)
        own, error = model(bench, name)
        rows += own
        errors.append(error)
    return "\n\n".join([
        measure.table(["model", "what", "images/s, median (min–max)", "headspan is faster (times)", "peak MiB"], rows),
        "The three PyTorch variants are `tools/reference/decompose.py`, our own code with the conventions of the papers: it projects the contributions of heads, by token, "
        f"through the output projections and sums them over the tokens. The first variant covers all layers, as published; the other two cover the last {LAYERS}, as ours does. The first variant stores the updates of every query token, `[images, tokens, tokens, heads, width]` "
        "per block, of which only the class token's row is used. For ViT-B/16 two of its 12 blocks were run that way and for ViT-L/14 one of 24, and the rate of all blocks is extrapolated. The second variant stores only that row; the third sums over the tokens first. headspan keeps the heads of the last four layers "
        "in head space; their dense contributions are `B·u`. Peak memory: during the passes, after loading. "
        f"Rounds: {', '.join(f'{name} {rounds(bench, name)}' for name in bench.models())}.",
        f"Largest difference from any PyTorch variant, over the contributions of all heads of the last {LAYERS} layers, relative to the largest value: {', '.join(errors)}.",
    ])


SECTION = measure.Section("decomposition", "The dense decomposition", section)

if __name__ == "__main__":
    measure.alone(SECTION)

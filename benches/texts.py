#!/usr/bin/env python3
"""The text tower over a pool of descriptions: ours, which computes each text up to its end token, beside OpenCLIP's `encode_text`, which
computes 77 tokens of each. The same random weights, in alternation. First, that both give the same features.

    python3 benches/texts.py [--quick] [--threads N]
"""

import array
import os
import pathlib

import measure

# Rounding through 24 blocks stays below it, relative to the largest feature.
TOLERANCE = 1e-4
BATCH = 64


def pool(bench):
    """Lines of the published pool, else of the demo's; and which it is."""
    shared = os.environ.get("HEADSPAN_SHARED")
    published = shared and pathlib.Path(shared) / "data/image_descriptions_general.txt"
    if published and published.is_file():
        lines, name = published.read_text().splitlines(), "the published descriptions"
    else:
        lines = [f"a photo of {number} things, seen from afar" for number in range(3_498)]
        name = "made-up descriptions"
    lines = [line.strip() for line in lines if line.strip()]
    lines = lines[: bench.size(len(lines), 100)]
    file = bench.work / "texts.txt"
    file.write_text("\n".join(lines) + "\n")
    return file, len(lines), name


def tokenizer(checkpoint):
    """CLIP's own vocabulary, whose ids OpenCLIP's tokenizer gives."""
    shared = os.environ.get("HEADSPAN_SHARED")
    own = shared and pathlib.Path(shared) / "data/clip-tokenizer.json"
    if not own or not own.is_file():
        raise measure.Missing("CLIP's tokenizer is not there: HEADSPAN_SHARED names a folder with data/clip-tokenizer.json")
    (checkpoint / "tokenizer.json").write_bytes(own.read_bytes())


def largest_difference(one, other):
    values = []
    for path in (one, other):
        numbers = array.array("f")
        numbers.frombytes(path.read_bytes())
        values.append(numbers)
    assert len(values[0]) == len(values[1]), "both sides embed every text"
    largest = max(abs(value) for value in values[0])
    return max(abs(a - b) for a, b in zip(*values)) / largest


def model(bench, name, file, count):
    checkpoint = bench.checkpoint(name)
    tokenizer(checkpoint)
    commands = {
        "OpenCLIP, `encode_text`": lambda: measure.pytorch(bench, "texts", checkpoint),
        "headspan": lambda: measure.Worker(measure.example("text_pass"), checkpoint, threads=bench.threads),
    }
    with measure.workers(commands) as side:
        theirs, ours = (bench.work / f"{which}.f32" for which in ("theirs", "ours"))
        side["OpenCLIP, `encode_text`"].ask("features", file, BATCH, theirs)
        side["headspan"].ask("features", file, ours)
        error = largest_difference(theirs, ours)
        if not error <= TOLERANCE:
            raise RuntimeError(f"{name}: the features differ by {error:.1e} of the largest")
        methods = {
            "OpenCLIP, `encode_text`": lambda: count / side["OpenCLIP, `encode_text`"].ask("texts", file, BATCH),
            "headspan": lambda: count / side["headspan"].ask("texts", file),
        }
        rates = measure.alternate(methods, bench.size(3, 1), warm=0)
        memory = {method: f"{worker.peak():.0f}" for method, worker in side.items()}
    base = rates["OpenCLIP, `encode_text`"]
    rows = [[name, method, measure.told(found), measure.ratio(found, base), memory[method]] for method, found in rates.items()]
    measure.figure(f"{name}, texts/s vs. OpenCLIP's", rates["headspan"], base, 1)
    return rows, f"{name} {error:.1e}"


def section(bench):
    file, count, origin = pool(bench)
    rows, errors = [], []
    for name in bench.models():
        measure.said(name)
        own, error = model(bench, name, file, count)
        rows += own
        errors.append(error)
    return "\n\n".join([
        measure.table(["model", "what", "texts/s, median (min–max)", "relative to OpenCLIP", "peak MiB"], rows),
        f"{count:,} of {origin}, tokens included; float32; OpenCLIP in batches of {BATCH}. Peak memory is that of the whole process, loading included; OpenCLIP's has both towers and the token embedding, "
        f"ours has both towers and reads the rows of the token embedding from the file. Rounds: {bench.size(3, 1)}.",
        f"Largest difference of the features, relative to the largest: {', '.join(errors)}.",
    ])


SECTION = measure.Section("texts", "The text tower", section)

if __name__ == "__main__":
    measure.alone(SECTION)

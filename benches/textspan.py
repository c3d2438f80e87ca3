#!/usr/bin/env python3
"""TEXTSPAN on moments beside the published loop in PyTorch; over texts, heads and models.

    python3 benches/textspan.py [--quick] [--threads N]
"""

import statistics

import measure

TEXTS, PICKS = 3_498, 60


def beside_published(bench):
    images, iterations = bench.size(50_000, 500), bench.size(2, 1)
    commands = {
        "ours": lambda: measure.Worker(measure.example("many_heads"), threads=bench.threads),
        "one": lambda: measure.Worker(measure.example("many_heads"), threads=1),
        "theirs": lambda: measure.pytorch(bench, "textspan"),
    }
    with measure.workers(commands) as side:
        methods = {
            "theirs": lambda: side["theirs"].ask("loop", images, 768, bench.size(TEXTS, 100), iterations),
            "one": lambda: side["one"].ask(768, bench.size(TEXTS, 100), 1)[0],
            "ours": lambda: side["ours"].ask(768, bench.size(TEXTS, 100), bench.size(64, 2))[0],
        }
        found = measure.alternate(methods, bench.size(2, 1), warm=0)
        memory = {name: worker.peak() for name, worker in side.items()}
    published = [svd + PICKS * each for svd, each in found["theirs"]]
    svd, each = (statistics.median(part) for part in zip(*found["theirs"]))
    heads = bench.size(64, 2)
    measure.figure("TEXTSPAN, one head of 3,498 texts, one thread, ms", [1000 * seconds for seconds in found["one"]])
    rows = [
        [f"published loop, one head, {images:,} images, all threads", measure.told(published), "1", f"{memory['theirs']:.0f}"],
        ["headspan, one head from its moments, one thread", measure.told(found["one"], 3), f"{statistics.median(published) / statistics.median(found['one']):.0f}", f"{memory['one']:.0f}"],
        [f"published loop, {heads} heads (× {heads})", f"{heads * statistics.median(published):.0f}", "1", ""],
        [f"headspan, {heads} heads, all threads", measure.told(found["ours"], 2), f"{heads * statistics.median(published) / statistics.median(found['ours']):.0f}", f"{memory['ours']:.0f}"],
    ]
    note = (f"d = 768, {bench.size(TEXTS, 100):,} texts, k = {PICKS}, random numbers. {iterations} iterations of the published loop were run "
            f"({each:.2f} s each, after {svd:.1f} s of SVD); the other {PICKS - iterations} are extrapolated, and so are 64 heads from one. headspan's time "
            "includes the preparation of the pool; the moments are given (extraction computes them). "
            f"Rounds: {bench.size(2, 1)}. The {heads} heads are copies of one head.")
    return measure.table(["what", "seconds, median (min–max)", "faster (times)", "peak MiB"], rows) + "\n\n" + note


def scaling(bench):
    cases = [(texts, heads) for texts in bench.size((1_000, 10_000, 100_000), (100, 200)) for heads in bench.size((1, 4), (1, 2))]
    cases += [(bench.size(TEXTS, 100), heads) for heads in bench.size((1, 16, 64, 256), (1, 3))]
    rows = []
    for texts, heads in cases:
        with measure.workers({"ours": lambda: measure.Worker(measure.example("many_heads"), threads=bench.threads)}) as side:
            wall, cpu = side["ours"].ask(768, texts, heads)
            rows.append([f"{texts:,}", heads, f"{wall:.2f}", f"{cpu:.2f}", f"{1000 * cpu / heads:.0f}", f"{side['ours'].peak():.0f}"])
    note = "One run per row; the heads of a row are copies of one head."
    return measure.table(["texts", "heads", "seconds", "CPU seconds", "CPU ms per head", "peak MiB"], rows) + "\n\n" + note


def six_models(bench):
    texts = bench.size(TEXTS, 100)
    models = bench.size([(512, 48)] * 4 + [(768, 64)] * 2, [(512, 2), (768, 2)])
    question = [number for d, heads in models for number in (d, texts, heads)]
    with measure.workers({"ours": lambda: measure.Worker(measure.example("many_heads"), threads=bench.threads)}) as side:
        runs = [side["ours"].ask(*question) for _ in range(bench.size(2, 1))]
        peak = side["ours"].peak()
    wall, cpu = zip(*runs)
    heads = sum(heads for _, heads in models)
    note = f"Rounds: {len(runs)}. The heads of a model are copies of one head, and the models of one geometry are copies of one model."
    return measure.table(["six models in one run", "seconds, median (min–max)", "CPU seconds", "peak MiB"],
                         [[f"{heads} heads (48 of each ViT-B, 64 of each ViT-L), {texts:,} texts", measure.told(wall, 2), measure.told(cpu, 2), f"{peak:.0f}"]]) + "\n\n" + note


def section(bench):
    parts = []
    for name, part in {"beside the published loop": beside_published, "scaling": scaling, "six models": six_models}.items():
        measure.said(name)
        parts.append(part(bench))
    return "\n\n".join(parts)


SECTION = measure.Section("textspan", "TEXTSPAN", section)

if __name__ == "__main__":
    measure.alone(SECTION)

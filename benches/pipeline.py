#!/usr/bin/env python3
"""The demo cold and warm, `status` and `compare` over six models of the demo's and of real geometry, time and memory over the number of images.

    python3 benches/pipeline.py [--quick]
"""

import shutil

import measure
from measure import DEMO


def run(folder, *words):
    return measure.child(measure.program(), "--quiet", *words, folder=folder)


def row(name, runs):
    return [name, measure.told([done.seconds for done in runs], 2), measure.told([done.cpu for done in runs], 2), f"{max(done.peak for done in runs):.0f}"]


def fresh(bench, name):
    folder = bench.work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def render(folder, scenes):
    shutil.rmtree(folder / "world", ignore_errors=True)
    run(folder, "scenes", "--out", "world", "--scenes", scenes, "--captions", "0")


def over(folder, checkpoint, dataset):
    return run(folder, "run-all", "--checkpoint", checkpoint, "--images", "world/images", "--texts", DEMO / "descriptions.csv", "--dataset", dataset, "--device", "cpu")


def demo(bench):
    folder = fresh(bench, "demo")
    cold = []
    for _ in range(bench.size(3, 1)):
        shutil.rmtree(folder / "runs", ignore_errors=True)
        cold.append(run(folder, "run-all", "--device", "cpu"))
    measure.figure("demo, `run-all` cold, seconds", [done.seconds for done in cold])
    warm = [run(folder, "run-all", "--device", "cpu") for _ in range(bench.size(5, 1))]
    return [row("demo (two models, 2,000 scenes), `run-all` cold", cold), row("... warm, nothing to do", warm)]


def six_models(bench):
    folder = fresh(bench, "six")
    render(folder, bench.size(500, 100))
    for number in range(6):
        checkpoint = folder / f"model-{number}"
        shutil.copytree(DEMO / ("scenes-4" if number % 2 else "scenes-6"), checkpoint)
        over(folder, checkpoint, "six")
    return asked(bench, folder, "six copies of the demo's models")


def asked(bench, folder, what):
    return [row(f"`{word}`, {what}", [run(folder, word, "--dataset", "six") for _ in range(bench.size(7, 2))]) for word in ("status", "compare")]


def six_real(bench):
    """The same over runs of real geometry: few images and texts, but every head has its labels and scores."""
    folder = fresh(bench, "six-real")
    texts = folder / "texts.csv"
    texts.write_text("".join((DEMO / "descriptions.csv").read_text().splitlines(keepends=True)[:: bench.size(12, 100)]))
    models = bench.size(["ViT-B-32"] * 4 + ["ViT-L-14"] * 2, ["ViT-B-32"] * 2)
    for number, name in enumerate(models):
        checkpoint = folder / f"{name}-{number}"
        checkpoint.symlink_to(bench.checkpoint(name), target_is_directory=True)
        command = ["run-all", "--checkpoint", checkpoint, "--images", bench.photos(), "--limit", 8, "--texts", texts]
        run(folder, *command, "--dataset", "six", "--device", "cpu")
    kinds = " and ".join(f"{models.count(name)} {name}" for name in dict.fromkeys(models))
    return asked(bench, folder, f"random weights: {kinds}")


def images(bench):
    folder, rows = fresh(bench, "many"), []
    for count in bench.size((1_000, 10_000, 30_000, 100_000), (100, 300)):
        measure.said(f"{count:,} images")
        render(folder, count)
        done = over(folder, DEMO / "scenes-4", f"of-{count}")
        rows.append([f"{count:,}", f"{done.seconds:.1f}", f"{done.cpu:.1f}", f"{count / done.seconds:.0f}", f"{done.peak:.0f}"])
        shutil.rmtree(folder / "runs")
    shutil.rmtree(folder)
    return rows


def section(bench):
    measure.said("demo")
    rows = demo(bench)
    measure.said("six models")
    rows += six_models(bench)
    measure.said("six models of real geometry")
    try:
        rows += six_real(bench)
    except measure.Missing as missing:
        rows.append(["`status` and `compare`, real geometry", f"**not measured**: {missing}", "", ""])
    return "\n\n".join([
        measure.table(["command", "seconds, median (min–max)", "CPU seconds", "peak MiB"], rows),
        measure.table(["images, scenes-4, `run-all`", "seconds", "CPU seconds", "images/s", "peak MiB"], images(bench)),
        "Rendered scenes in Parquet shards, all stages; TEXTSPAN, labels and scores do not depend on the number of images. Rows without a range are one run. "
        f"Rounds: `run-all` cold {bench.size(3, 1)}, warm {bench.size(5, 1)}, `status` and `compare` {bench.size(7, 2)}. The demo's models have 32 and 24 heads in the last four layers, d 96, and are copied; "
        "those of real geometry have 48 (ViT-B) and 64 heads (ViT-L), d 512 and 768, with labels and scores for all heads; 8 photos and some 60 texts.",
    ])


SECTION = measure.Section("pipeline", "The pipeline", section)

if __name__ == "__main__":
    measure.alone(SECTION)

#!/usr/bin/env python3
"""The demo cold and warm, memory and time over the number of images, and `status` and `compare` over six models.

Build first: `cargo build --release --workspace`. Prints Markdown tables; medians with their range.

    python3 benches/pipeline.py [--images 1000 4000 16000]
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target" / "release" / "headspan"
DEMO = ROOT / "data" / "demo"


def run(folder, *arguments):
    """Seconds, and peak memory in MiB, of one command."""
    begun = time.perf_counter()
    process = subprocess.Popen([PROGRAM, "--quiet", *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = wait(process)
    if status != 0:
        raise SystemExit(f"{arguments} ended with {status}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


def wait(process):
    pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    return pid, status, usage


def told(seconds):
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"


def demo():
    print("| demo, `run-all` | seconds | peak MiB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            if name == "cold":
                runs = []
                for _ in range(3):
                    shutil.rmtree(pathlib.Path(folder) / "runs", ignore_errors=True)
                    runs.append(run(folder, "run-all", "--device", "cpu"))
            else:
                runs = [run(folder, "run-all", "--device", "cpu") for _ in range(5)]
            print(f"| {name} | {told([seconds for seconds, _ in runs])} | {max(peak for _, peak in runs):.0f} |")


def images(counts):
    print("\n| images, scenes-4 | seconds | images a second | peak MiB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            run(folder, "scenes", "--out", "world", "--scenes", str(count), "--captions", "0")
            seconds, peak = run(
                folder, "run-all", "--checkpoint", DEMO / "scenes-4", "--images", "world/images", "--texts",
                DEMO / "descriptions.csv", "--dataset", f"of-{count}", "--device", "cpu",
            )
            print(f"| {count} | {seconds:.1f} | {count / seconds:.0f} | {peak:.0f} |", flush=True)
            shutil.rmtree(pathlib.Path(folder) / "world")


def six_models():
    print("\n| six models | seconds | peak MiB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        run(folder, "scenes", "--out", "world", "--scenes", "500", "--captions", "0")
        for number in range(6):
            checkpoint = pathlib.Path(folder) / f"model-{number}"
            shutil.copytree(DEMO / ("scenes-4" if number % 2 else "scenes-6"), checkpoint)
            run(
                folder, "run-all", "--checkpoint", checkpoint, "--images", "world/images", "--texts",
                DEMO / "descriptions.csv", "--dataset", "six", "--device", "cpu",
            )
        for name, arguments in {"status": ["status", "--dataset", "six"], "compare": ["compare", "--dataset", "six"]}.items():
            runs = [run(folder, *arguments) for _ in range(7)]
            print(f"| `{name}` | {told([seconds for seconds, _ in runs])} | {max(peak for _, peak in runs):.0f} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 4000, 16000])
    arguments = parser.parse_args()
    demo()
    six_models()
    images(arguments.images)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Latency, memory and load of the explorer over a run of ViT-L/14 geometry with 50,000 images of random numbers, beside a small run
of a ViT-L/14 with random weights, which is asked about texts and segmentation. One client first, then wrk with 64.

    python3 benches/explorer.py [--quick] [--images FOLDER]
"""

import http.client
import math
import pathlib
import re
import shutil
import statistics
import subprocess
import time
import urllib.parse

import measure

RUN = "/r/synthetic/ViT-L-14_random"
PROPERTY = "colors"


class Server:
    def __init__(self, runs, program=None, dataset="synthetic"):
        begun = time.perf_counter()
        command = [program or measure.program(), "explore", "--runs", runs, "--dataset", dataset, "--device", "cpu", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        address = self.process.stdout.readline().strip()
        if not address:
            raise RuntimeError("the explorer did not start")
        self.start_seconds = time.perf_counter() - begun
        self.host = address.removeprefix("http://").rstrip("/")
        self.connection = http.client.HTTPConnection(self.host, timeout=120)

    def ask(self, path):
        """Milliseconds of an answer."""
        begun = time.perf_counter()
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
        return 1000 * (time.perf_counter() - begun)

    def memory(self):
        resident, peak = (measure.status_mib(self.process.pid, field) for field in ("VmRSS", "VmHWM"))
        return [f"{resident:.0f}", f"{peak:.0f}"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def percentiles(times):
    ordered = sorted(times)
    count = len(ordered)
    last = f"{ordered[math.ceil(0.99 * count) - 1]:.1f}" if count >= 100 else f"longest: {ordered[-1]:.1f}"
    return [count, f"{statistics.median(ordered):.1f}", last, f"{ordered[-1]:.1f}"]


def segmentation_cost(runs):
    """Lines of the example, medians of its rounds."""
    done = subprocess.run([measure.example("segmentation_cost"), runs], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"segmentation_cost: {measure.last_lines(done.stderr)}")
    return "; ".join(done.stdout.strip().splitlines())


def load(server, path, seconds, clients=64):
    """Requests a second, 50th and 99th percentile, errors."""
    command = ["wrk", "--latency", "-t2", f"-c{clients}", f"-d{seconds}s", f"http://{server.host}{path}"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", report).group(1))
    latency = dict(re.findall(r"(\d\d)%\s+([\d.]+\w+)", report))
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    broken = re.search(r"Socket errors: (.*)", report)
    trouble = (f"{errors.group(1)} refused" if errors else "0") + (f"; {broken.group(1)}" if broken else "")
    return [f"{rate:.0f}", latency.get("50"), latency.get("99"), trouble]


def make_runs(bench, images):
    """Both runs in one data set; the name of the small one."""
    runs = bench.work / "explorer"
    shutil.rmtree(runs, ignore_errors=True)
    measure.said(f"a run of {images:,} images")
    measure.child(measure.example("synthetic_run"), runs, images)
    try:
        name = bench.size("ViT-L-14", "ViT-B-32")
        checkpoint = bench.checkpoint(name)
    except measure.Missing as missing:
        return runs, None, str(missing)
    measure.said(f"a run of {name}")
    command = [measure.program(), "--quiet", "run-all", "--checkpoint", checkpoint, "--images", bench.photos(), "--limit", 8]
    measure.child(*command, "--runs", runs, "--texts", bench.two_texts(), "--dataset", "synthetic", "--device", "cpu")
    return runs, name, None


def tables_alone(server, images, count):
    heads = [f"L{layer}.H{head}" for layer in range(20, 24) for head in range(16)]
    neighbours = lambda head, image: f"{RUN}/neighbours.json?heads={head}&image={image}&count=8"
    image = lambda number: (number * 7919) % images
    server.ask(neighbours(heads[0], 1))  # what all columns share is read with the first
    first = [server.ask(neighbours(head, 1)) for head in heads[1:]]
    for head in heads[:8]:  # the store of columns is smaller than the run: these were let go of again
        server.ask(neighbours(head, 1))
    some = min(count, 100)
    return {
        "first touch of a head": first,
        "neighbours under one head": [server.ask(neighbours(heads[n % 8], image(n))) for n in range(count)],
        "... as a page": [server.ask(neighbours(heads[n % 8], image(n)).replace(".json", "")) for n in range(count)],
        "... by cosine": [server.ask(neighbours(heads[n % 8], image(n)) + "&similarity=cosine") for n in range(min(count, 50))],
        "neighbours under a property (10 or 11 heads)": [server.ask(neighbours(PROPERTY, image(n))) for n in range(some)],
        "a head's page": [server.ask(f"{RUN}/head/{heads[n % 8]}") for n in range(some)],
        "start page": [server.ask("/") for _ in range(some)],
    }


def with_model(server, name, count):
    """Questions that need the model: the first loads it."""
    run = f"/r/synthetic/{name}"
    text = lambda n: urllib.parse.quote(f"a red ball, number {n}")
    asked = lambda n: f"{run}/neighbours.json?text={text(n)}&count=8"
    segment = lambda n: f"{run}/segment.json?image={n % 8}&text={text(n)}"
    return {
        f"{name}: the first text (loads the weights)": [server.ask(asked(0))],
        f"{name}: neighbours of a new text": [server.ask(asked(n)) for n in range(1, count)],
        f"{name}: segmentation of an image by a new text": [server.ask(segment(n)) for n in range(count)],
    }


def section(bench):
    if shutil.which("wrk") is None:
        raise measure.Missing("wrk is not there: apt-get install wrk")
    images = bench.size(50_000, 2_000)
    runs, name, lacking = make_runs(bench, images)
    size = sum(file.stat().st_size for file in pathlib.Path(runs).rglob("*") if file.is_file())
    measure.said("questions")
    server = Server(runs)
    try:
        memory = [["after start-up", *server.memory()]]
        rows = tables_alone(server, images, bench.size(500, 10))
        memory.append(["after every head was read", *server.memory()])
        if name:
            rows |= with_model(server, name, bench.size(12, 3))
            memory.append([f"with the weights of {name} and a full store of columns", *server.memory()])
        measure.said("wrk")
        loads = [[what, *load(server, path, bench.size(10, 1))] for what, path in {
            "neighbours under one head, JSON": f"{RUN}/neighbours.json?heads=L20.H3&image=5&count=8",
            "a head's page": f"{RUN}/head/L20.H3",
            "start page": "/",
        }.items()]
        memory.append(["at the end", *server.memory()])
        start = server.start_seconds
    finally:
        server.stop()
    measure.said("segmentation")
    segmentation = segmentation_cost(runs)
    measure.figure("explorer, neighbours of 50,000 images under one head, ms", rows["neighbours under one head"])
    if name:
        measure.figure(f"explorer, segmentation of an image by {name}, ms", rows[f"{name}: segmentation of an image by a new text"])
        measure.figure(f"explorer, a new text by {name}, ms", rows[f"{name}: neighbours of a new text"])
    parts = [
        f"{images:,} images, 64 heads of 64 dimensions, {size / 1e9:.2f} GB of artifacts on disk; start-up {start:.2f} s.",
        measure.table(["one client, ms", "questions", "median", "99 %", "longest"], [[what, *percentiles(times)] for what, times in rows.items()]),
        measure.table(["64 clients", "requests/s", "median", "99 %", "errors"], loads),
        f"wrk has two threads on the same {bench.threads} cores as the server, and each row repeats one question.",
        measure.table(["memory of the server, MiB", "at that point", "highest so far"], memory),
    ]
    parts.append(f"Segmentation of a new image, ViT-L/14 with random weights in its own process, medians of seven rounds in alternation: {segmentation}.")
    if lacking:
        parts.append(f"**Not measured**: questions that need a model; {lacking}.")
    return "\n\n".join(parts)


SECTION = measure.Section("explorer", "The explorer", section)

if __name__ == "__main__":
    measure.alone(SECTION)

#!/usr/bin/env python3
"""Latency, memory and load of the explorer over a run of ViT-L/14 geometry with 50,000 images of random numbers.

Start-up, first touch and single questions are timed from one client; the load is wrk's (Debian's package `wrk`), 64 clients
on loopback. Prints a Markdown table. Build first: `cargo build --release --workspace --examples`.

    python3 benches/explorer.py [--images 50000] [--seconds 10]
"""

import argparse
import http.client
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = "/r/synthetic/ViT-L-14_random"


def resident(process, field="VmRSS"):
    """MiB of main memory of the server."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status).group(1)) / 1024


class Server:
    def __init__(self, program, runs):
        begun = time.perf_counter()
        command = [program, "explore", "--runs", runs, "--dataset", "synthetic", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        address = self.process.stdout.readline().strip()
        self.start_seconds = time.perf_counter() - begun
        self.host = address.removeprefix("http://").rstrip("/")
        self.connection = http.client.HTTPConnection(self.host)

    def ask(self, path):
        begun = time.perf_counter()
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - begun
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status} {body[:300]!r}")
        return 1000 * seconds

    def stop(self):
        self.process.terminate()
        self.process.wait()


def percentiles(times):
    ordered = sorted(times)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    return f"{statistics.median(ordered):.1f} | {at(0.99):.1f} | {ordered[-1]:.1f}"


def load(server, path, seconds, clients=64):
    """Requests a second, 50th and 99th percentile in ms, errors."""
    command = ["wrk", "--latency", "-t2", f"-c{clients}", f"-d{seconds}s", f"http://{server.host}{path}"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", report).group(1))
    latency = {share: value for share, value in re.findall(r"(\d\d)%\s+([\d.]+\w+)", report)}
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    broken = re.search(r"Socket errors: (.*)", report)
    said = (f"{errors.group(1)} refused" if errors else "0") + (f"; {broken.group(1)}" if broken else "")
    return f"{rate:.0f} | {latency.get('50')} | {latency.get('99')} | {said}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--questions", type=int, default=500)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    release = ROOT / "target" / "release"
    with tempfile.TemporaryDirectory() as runs:
        subprocess.run([release / "examples" / "synthetic_run", runs, str(arguments.images)], check=True)
        size = sum(file.stat().st_size for file in pathlib.Path(runs).rglob("*") if file.is_file())
        server = Server(release / "headspan", runs)
        print(f"{arguments.images} images, 64 heads of 64 dimensions, {size / 1e9:.2f} GB of artifacts\n")
        print(f"start-up {server.start_seconds:.2f} s; memory then {resident(server.process):.0f} MiB\n")

        heads = [f"L{layer}.H{head}" for layer in range(20, 24) for head in range(16)]
        neighbours = lambda head, image: f"{RUN}/neighbours.json?heads={head}&image={image}&count=8"
        image = lambda number: (number * 7919) % arguments.images
        server.ask(neighbours(heads[0], 1))  # what all columns share is read with the first
        first = [server.ask(neighbours(head, 1)) for head in heads[1:]]
        for head in heads[:8]:  # the store of columns is smaller than the run: these were let go of again
            server.ask(neighbours(head, 1))
        count = arguments.questions
        rows = {
            "first touch of a head": first,
            "neighbours under one head": [server.ask(neighbours(heads[n % 8], image(n))) for n in range(count)],
            "... as a page": [server.ask(neighbours(heads[n % 8], image(n)).replace(".json", "")) for n in range(count)],
            "... by cosine": [
                server.ask(neighbours(heads[n % 8], image(n)) + "&similarity=cosine") for n in range(min(count, 50))
            ],
            "neighbours under a property (10 or 11 heads)": [
                server.ask(neighbours("colors", image(n))) for n in range(min(count, 200))
            ],
            "a head's page": [server.ask(f"{RUN}/head/{heads[n % 8]}") for n in range(min(count, 100))],
            "start page": [server.ask("/") for _ in range(min(count, 100))],
        }
        print("| one client, ms | 50 % | 99 % | longest |\n|---|---|---|---|")
        for name, times in rows.items():
            print(f"| {name} | {percentiles(times)} |")
        print(f"\nmemory after every head was read: {resident(server.process):.0f} MiB, at most {resident(server.process, 'VmHWM'):.0f}\n")
        print("| 64 clients | a second | 50 % | 99 % | errors |\n|---|---|---|---|---|")
        for name, path in {
            "neighbours under one head, JSON": neighbours(heads[3], 5),
            "a head's page": f"{RUN}/head/{heads[3]}",
            "start page": "/",
        }.items():
            print(f"| {name} | {load(server, path, arguments.seconds)} |")
        print(f"\nmemory at the end: {resident(server.process):.0f} MiB, at most {resident(server.process, 'VmHWM'):.0f}")
        server.stop()


if __name__ == "__main__":
    main()

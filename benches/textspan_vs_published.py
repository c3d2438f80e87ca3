"""Time the published TEXTSPAN loop per head in PyTorch, beside `cargo bench --workspace --bench textspan`.

Usage: textspan_vs_published.py [--iterations 2]
Random data of the published size: n = 50,000 images, d = 768, 3,498 texts. The loop runs a few of its 60 iterations and the
rest is extrapolated, which is said in the output.
"""

import argparse
import re
import subprocess
import time

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=2)
    iterations = parser.parse_args().iterations
    torch.set_num_threads(2)
    x, texts = torch.randn(50_000, 768), torch.nn.functional.normalize(torch.randn(3498, 768))
    start = time.perf_counter()
    v = torch.linalg.svd(x, full_matrices=False)[2][:64]
    texts = texts @ v.T @ v
    x = x - x.mean(0)
    svd = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(iterations):
        t = texts[(x @ texts.T).std(0).argmax()]
        x = x - torch.outer(x @ t / (t @ t), t)
        texts = texts - torch.outer(texts @ t / (t @ t), t)
    each = (time.perf_counter() - start) / iterations
    published = svd + 60 * each
    print(f"published loop, one head: SVD {svd:.1f} s, {each:.2f} s an iteration, {published:.0f} s for k = 60 (extrapolated)")
    bench = subprocess.run(
        ["cargo", "bench", "--quiet", "--workspace", "--bench", "textspan"], capture_output=True, text=True, check=True
    ).stdout
    print(bench)
    median = re.search(r"one_head\s+[\d.]+ \S+\s+│ [\d.]+ \S+\s+│ ([\d.]+) (\S+)", bench)
    if median:
        seconds = float(median[1]) * {"ms": 1e-3, "s": 1.0, "µs": 1e-6}[median[2]]
        print(f"ratio per head: {published / seconds:.0f}")


if __name__ == "__main__":
    main()

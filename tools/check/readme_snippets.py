"""Run the README's Python that reads a run's tables without the package (python/tests/test_readme.py runs the rest), with the
layers and heads of a run in place of those of the text.

Usage: readme_snippets.py README RUN
"""

import re
import sys
from pathlib import Path

import polars as pl


def main() -> None:
    text, run = Path(sys.argv[1]).read_text(), sys.argv[2]
    last = pl.read_parquet(f"{run}/readout.parquet").select("layer", "head").row(-1)
    snippets = [code for code in re.findall(r"```python\n(.*?)```", text, flags=re.S) if "import headspan" not in code]
    scope: dict = {}
    for snippet in snippets:
        snippet = re.sub(r'run = ".*"', f"run = {run!r}", snippet)
        snippet = snippet.replace("L11.H3", f"L{last[0]}.H{last[1]}").replace("layer == 11 and head == 3", f"layer == {last[0]} and head == {last[1]}")
        snippet = snippet.replace('pl.col("layer") == 11', f'pl.col("layer") == {last[0]}')
        exec(compile(snippet, "README", "exec"), scope)
    neighbours = scope["heads"]["image_index"].iloc[(-scope["scores"]).argsort()].tolist()
    if len(snippets) != 2 or len(neighbours) != len(scope["heads"]):
        sys.exit("0 passed, 1 failed")
    print(f"{len(snippets)} passed, 0 failed")


if __name__ == "__main__":
    main()

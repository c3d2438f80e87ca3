#!/usr/bin/env python3
"""headspan and the alternatives on this machine, into benches/results/<processor>.md, and from all of these the table benches/RESULTS.md.

    python3 benches/run.py                          # builds, then every section: half an hour on two cores
    python3 benches/run.py --only forward,textspan  # these; the others' text stays as it is
    python3 benches/run.py --quick                  # tiny sizes: checks the scripts; goes to target/bench-quick/

Wants what tools/reference/requirements.txt names, and wrk. A section that lacks something says so in its place, and the others go on.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

import decomposition
import explorer
import extract
import forward
import gpu
import input_pipeline
import measure
import pipeline
import python
import storage
import texts
import textspan

SECTIONS = {part.SECTION.name: part.SECTION for part in (forward, decomposition, extract, input_pipeline, texts, textspan, explorer, pipeline, storage, python, gpu)}
RESULTS = measure.ROOT / "benches/results"
HEAD = """# Results of the benches: {machine}

Written by `just bench` (`python3 benches/run.py`). Each section has its own time, machine and commit. Whatever is compared was measured in one session, in alternation, with
the same weights and threads and equally many images of the same size. Figures are medians with their range; memory is the resident memory of the process (MiB).
"""
OVERVIEW = """# Results of the benches

Written by `just bench` (`python3 benches/run.py`) from the files that it leaves for each processor. Figures of one processor say little about another. They are medians; each column's
file says when and of which commit they are, with ranges and memory. [What they mean](../docs/performance.md).
"""


def known(path):
    """Texts of sections that are there, by name."""
    text = path.read_text() if path.is_file() else ""
    return {name: body.strip() + "\n" for name, body in re.findall(r"<!-- section (\S+) -->\n(.*?)<!-- end \1 -->", text, re.DOTALL)}


def write(path, texts, machine):
    # Sections of other names, such as those of tools/gpu/check.sh, stay, at the end.
    names = [*(name for name in SECTIONS if name in texts), *(name for name in texts if name not in SECTIONS)]
    parts = [f"<!-- section {name} -->\n{texts[name]}<!-- end {name} -->\n" for name in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD.format(machine=machine) + "\n" + "\n".join(parts))


def overview(folder, out):
    """The table over all processors that have a file."""
    columns = {}
    for path in sorted(folder.glob("*.md")):
        figures = {}
        for found in re.findall(r"<!-- figures (.*?) -->", path.read_text()):
            figures |= json.loads(found)
        if figures:
            columns[path] = figures
    # In the order of the file that has most of them.
    fullest = sorted(columns.values(), key=len, reverse=True)
    labels = list(dict.fromkeys(label for figures in fullest for label in figures))
    title = lambda path: path.read_text().partition("\n")[0].removeprefix("# Results of the benches: ")
    header = ["", *(f"[{title(path)}](results/{path.name})" for path in columns)]
    rows = [[label, *(figures.get(label, "") for figures in columns.values())] for label in labels]
    out.write_text(OVERVIEW + "\n" + measure.table(header, rows) + "\n")


def build(features):
    if shutil.which("cargo") is None:
        print("cargo is not there: what is built is measured", file=sys.stderr)
    elif subprocess.run([*measure.BUILD.split(), *(["--features", features] if features else [])], cwd=measure.ROOT).returncode != 0:
        sys.exit("the build failed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas (%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, help="folder; default: benches/results, with --quick target/bench-quick")
    parser.add_argument("--overview", action="store_true", help="write the table over all processors anew, and measure nothing")
    parser.add_argument("--no-build", action="store_true", help="measure what is built")
    measure.arguments(parser)
    given = parser.parse_args()
    wanted = given.only.split(",")
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    folder = given.out or (measure.ROOT / "target/bench-quick" if given.quick else RESULTS)
    table = folder.parent / "RESULTS.md" if folder == RESULTS else folder / "RESULTS.md"
    if given.overview:
        return overview(folder, table)
    if not given.no_build:
        build(given.features)
    begun, failed = time.monotonic(), []
    with measure.bench(given) as bench:
        machine = measure.processor()
        out = folder / f"{measure.slug(machine)}.md"
        for name in (name for name in SECTIONS if name in wanted):
            text = SECTIONS[name].text(bench)
            write(out, known(out) | {name: text}, machine)
            failed += [name] if "\n**Failed**" in text else []
        overview(folder, table)
    print(f"{out}, {time.monotonic() - begun:.0f} s", file=sys.stderr)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""headspan and the alternatives on this machine, into benches/RESULTS.md.

    python3 benches/run.py                          # builds, then every section: half an hour on two cores
    python3 benches/run.py --only forward,textspan  # these; the others' text stays as it is
    python3 benches/run.py --quick                  # tiny sizes: checks the scripts; goes to target/RESULTS.quick.md

Wants what tools/reference/requirements.txt names, and wrk. A section that lacks something says so in its place, and the others go on.
"""

import argparse
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
import textspan

SECTIONS = {part.SECTION.name: part.SECTION for part in (forward, decomposition, extract, input_pipeline, textspan, explorer, pipeline, storage, python, gpu)}
HEAD = """# Results of the benches

Written by `just bench` (`python3 benches/run.py`). Each section has its own time, machine and commit. Whatever is compared was measured in one session, in alternation, with
the same weights and threads and equally many images of the same size. Figures are medians with their range; memory is the resident memory of the process (MiB).
"""


def known(path):
    """Texts of sections that are there, by name."""
    text = path.read_text() if path.is_file() else ""
    return {name: body.strip() + "\n" for name, body in re.findall(r"<!-- section (\S+) -->\n(.*?)<!-- end \1 -->", text, re.DOTALL)}


def write(path, texts):
    # Sections of other names are of machines that are not at hand, such as those of tools/gpu/check.sh: they stay, at the end.
    names = [*(name for name in SECTIONS if name in texts), *(name for name in texts if name not in SECTIONS)]
    parts = [f"<!-- section {name} -->\n{texts[name]}<!-- end {name} -->\n" for name in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + "\n" + "\n".join(parts))


def build(features):
    if shutil.which("cargo") is None:
        print("cargo is not there: what is built is measured", file=sys.stderr)
    elif subprocess.run([*measure.BUILD.split(), *(["--features", features] if features else [])], cwd=measure.ROOT).returncode != 0:
        sys.exit("the build failed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas (%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, help="default: benches/RESULTS.md, with --quick target/RESULTS.quick.md")
    parser.add_argument("--no-build", action="store_true", help="measure what is built")
    measure.arguments(parser)
    given = parser.parse_args()
    wanted = given.only.split(",")
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if not given.no_build:
        build(given.features)
    out = given.out or measure.ROOT / ("target/RESULTS.quick.md" if given.quick else "benches/RESULTS.md")
    begun, failed = time.monotonic(), []
    with measure.bench(given) as bench:
        for name in (name for name in SECTIONS if name in wanted):
            text = SECTIONS[name].text(bench)
            write(out, known(out) | {name: text})
            failed += [name] if "\n**Failed**" in text else []
    print(f"{out}, {time.monotonic() - begun:.0f} s", file=sys.stderr)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The measured parts of `check.sh run`, each within its own seconds; a part is rewritten as its rows come in.

    python3 tools/gpu/card.py numbers|rates|stage|adopt …

Rates and stages are those of `benches/gpu.py`; here they get a deadline, and programs from the kit.
"""

import argparse
import json
import os
import pathlib
import re
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))
# Three models are compiled at the same time.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "4")

import gpu
import measure

DEMO = "scenes-4"
# Images of a run that is compared with the CPU's.
COMPARED = 32


class Part:
    """A part of the section, replaced as a whole whenever there is more to tell."""

    def __init__(self, path):
        self.path = path

    def write(self, *paragraphs):
        new = self.path.with_suffix(".new")
        new.write_text("\n\n".join(paragraphs) + "\n")
        os.replace(new, self.path)


def kinds_of(bench):
    try:
        return gpu.devices(bench)
    except Exception as missing:  # a program that does not start, too
        measure.said(f"no card for headspan: {missing}")
        return {}


def numbers(bench, given, part):
    """`extract` of the same images on the CPU and on each device, compared row by row."""
    kinds, rows = kinds_of(bench), gpu.Rows()
    header = ["model", "device", "precision", "representation", "worst head", "sum identity", "CPU probe"]
    told = (
        f"`extract` of {bench.size(COMPARED, 4)} JPEGs. Columns 4 and 5: largest difference from the run on the CPU in float32, relative to the largest value of the representation, and of "
        "each head (the worst is shown). The last two columns are the checks in the run's record."
    )
    table, images = [], bench.size(COMPARED, 4)
    for name in (DEMO, *bench.size(gpu.MODELS[:1], ())):
        checkpoint = measure.DEMO / name if name == DEMO else bench.checkpoint(name)
        reference = None
        for kind, precision in [("cpu", "float32"), *((kind, precision) for kind in kinds for precision in bench.size(gpu.PRECISIONS, gpu.PRECISIONS[:1]))]:
            if time.monotonic() > given.until:
                break
            row = (name, kind, precision)
            cells = ["", "", "", ""]
            with rows.row(row):
                figures = gpu.extract(bench, checkpoint, bench.photos(), kind, precision, images)
                found = columns(bench.work / "runs-of-gpu" / "bench" / checkpoint.name)
                probe = figures.get("probe_error")
                cells = [*differences(found, reference), f"{figures['identity_error']:.1e}", "" if probe is None else f"{probe:.1e}"]
                reference = reference or found
            if row in rows.failed:
                cells[0] = rows.failed[row]
            table.append([*row, *cells])
            part.write(measure.table(header, table), told)
    if not kinds:
        part.write(measure.table(header, table), told, "**headspan reaches no card**, so there is nothing to compare.")


def columns(run):
    """Vectors of a run by column name, `None` without pyarrow."""
    try:
        import pyarrow.parquet
    except ImportError:
        return None
    found = {}
    for file in sorted((run / "activations").glob("part-*.parquet")):
        table = pyarrow.parquet.read_table(file)
        for name in table.column_names:
            if name == "representation" or re.fullmatch(r"L\d+\.H\d+", name):
                found.setdefault(name, []).extend(value for chunk in table[name].chunks for value in chunk.flatten().to_pylist())
    return found


def differences(found, reference):
    """Of the representation and of the worst head."""
    if found is None:
        return ["no pyarrow here", ""]
    if reference is None:
        return ["reference", "reference"]
    off = {}
    for name, values in reference.items():
        pairs = list(zip(found[name], values, strict=True))
        finite = all(abs(x) < float("inf") for x, _ in pairs)
        off[name] = max(abs(x - y) for x, y in pairs) / max(abs(y) for _, y in pairs) if finite else float("nan")
    heads = {name: value for name, value in off.items() if name != "representation"}
    worst = max(heads, key=lambda name: (heads[name] != heads[name], heads[name]))
    return [f"{off['representation']:.1e}", f"{heads[worst]:.1e} ({worst})"]


def rates(bench, given, part):
    """Passes per second in every precision, next to PyTorch."""
    kinds = kinds_of(bench)
    notes = [] if kinds else ["**headspan reaches no card**: its only row is the CPU's."]

    def write(rows):
        part.write(measure.table(gpu.PASSES, rows), *notes, gpu.passes_told(bench))

    rows = gpu.model(bench, given.model, kinds, gpu.Limits(given.until, write))
    write(rows)
    (bench.work / f"rates-{given.model}.json").write_text(json.dumps({row[1]: (float(re.match(r"[\d.]+", row[2])[0]), float(row[5])) for row in rows if not row[2].startswith("**")}))


def stage(bench, given, part):
    """The whole stage, with utilisation of the card."""
    # A software renderer takes minutes for what says nothing.
    kinds = [kind for kind, device in kinds_of(bench).items() if "software" not in device]
    devices = [(kind, precision) for kind in kinds for precision in gpu.PRECISIONS[:2]] or [("cpu", "float32")]
    known = bench.work / f"rates-{given.model}.json"
    notes = [] if kinds else ["**headspan reaches no card**: the row is the CPU's, and its utilisation is that of the workers."]

    limits = gpu.Limits(given.until, stage_warm=0)

    def write(rows):
        part.write(measure.table(gpu.STAGES, rows), *notes, gpu.stages_told(bench, given.origin) + f" Each run is a new process, which compiles and tunes kernels again: that counts. Fewer images than {limits.stage_images:,}: as many as fitted into the time.")

    limits.partly = write
    write(gpu.stage(bench, given.model, devices, limits, json.loads(known.read_text()) if known.is_file() else {}))


def adopt(file, results):
    """Makes a section the card's file of results, in the place of an older one."""
    import run

    text = file.read_text()
    heading = re.match(r"## GPU: (.+), \d+ \w+ \d{4}, commit \S+", text)
    if heading is None:
        sys.exit(f"{file}: the first line is not `## GPU: <card>, <date>, commit <hash>`")
    if "*Quick" in text:
        sys.exit(f"{file}: the run was --quick, and its figures mean nothing")
    name = f"gpu-{measure.slug(heading[1])}"
    out = results / f"{name}.md"
    replaced = "replaced" if out.is_file() else "added"
    run.write(out, {name: text.strip() + "\n"}, heading[1])
    print(f"{out} {replaced}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    for method in (numbers, rates, stage):
        own = parts.add_parser(method.__name__, help=method.__doc__)
        own.set_defaults(method=method)
        own.add_argument("--programs", type=pathlib.Path, required=True, help="folder with headspan and examples/vision_pass")
        own.add_argument("--work", type=pathlib.Path, required=True, help="folder with checkpoints, for runs")
        own.add_argument("--images", type=pathlib.Path, required=True, help="folder of JPEG files")
        own.add_argument("--origin", required=True, help="what these images are")
        own.add_argument("--file", type=pathlib.Path, required=True, help="the part's Markdown")
        own.add_argument("--seconds", type=float, required=True)
        own.add_argument("--quick", action="store_true")
        if method is not numbers:
            own.add_argument("model", choices=gpu.MODELS)
    own = parts.add_parser("adopt", help=adopt.__doc__)
    own.add_argument("section", type=pathlib.Path)
    own.add_argument("--results", type=pathlib.Path, default=ROOT / "benches/results")
    given = parser.parse_args()
    if given.part == "adopt":
        return adopt(given.section, given.results)
    measure.RELEASE, measure.PROGRAM = given.programs, given.programs / "headspan"
    given.until = time.monotonic() + given.seconds
    given.method(measure.Bench(given.quick, given.images, given.work), given, Part(given.file))


if __name__ == "__main__":
    main()

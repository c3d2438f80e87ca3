"""What the benches share: programs and processes, medians and tables, checkpoints and images, the machine and the versions.

Only the standard library is imported here: PyTorch lives in processes of its own (`pytorch_side.py`), so that every side's
memory is its own and none is there while the other is measured.
"""

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target" / "release"
PROGRAM = RELEASE / "headspan"
DEMO = ROOT / "data" / "demo"
BUILD = "cargo build --release --workspace --bins --examples"

MODELS = ("ViT-B-32", "ViT-B-16", "ViT-L-14")
# Images of one pass that is timed, and of one batch of PyTorch's: of 8, 16 and 32 the fastest for it on two cores.
IMAGES = {"ViT-B-32": 64, "ViT-B-16": 16, "ViT-L-14": 4}
BATCH = {"ViT-B-32": 32, "ViT-B-16": 8, "ViT-L-14": 4}


class Missing(Exception):
    """What a section needs is not there; says how to get it."""


@dataclasses.dataclass
class Bench:
    """One call of the benches: how large, over which images, and a folder for what several sections need."""

    quick: bool
    images: pathlib.Path | None
    work: pathlib.Path
    features: str | None = None

    @property
    def threads(self):
        return len(os.sched_getaffinity(0))

    def size(self, full, quick):
        return quick if self.quick else full

    def models(self):
        return self.size(MODELS, MODELS[:1])

    def checkpoint(self, name):
        """Folder with random weights of an architecture, made once."""
        folder = self.work / name
        if not (folder / "tokenizer.json").is_file():
            needs("torch", "open_clip", "safetensors")
            said(f"random weights of {name}")
            child(sys.executable, ROOT / "tools/reference/make_checkpoint.py", folder, "--architecture", name, "--tokenizer", DEMO / "scenes-4/tokenizer.json")
        return folder

    def photos(self):
        """Folder of JPEG files: the one asked for, the shared one, or rendered scenes."""
        shared = os.environ.get("HEADSPAN_SHARED")
        for folder in (self.images, shared and pathlib.Path(shared) / "data/photos"):
            if folder and folder.is_dir():
                return folder
        folder = self.work / "rendered"
        if not folder.is_dir():
            render_jpegs(folder, self.work / "scenes")
        return folder

    def origin_of_photos(self):
        folder = self.photos()
        count = sum(1 for file in folder.rglob("*") if file.is_file())
        return f"{count} {'JPEGs rendered by `headspan scenes`' if folder.parent == self.work else 'photos'}"

    def two_texts(self):
        file = self.work / "two.csv"
        file.write_text("text,category\na red ball,colors\na house,shapes\n")
        return file


def render_jpegs(folder, scenes):
    needs("PIL")
    from PIL import Image

    child(program(), "--quiet", "scenes", "--out", scenes, "--scenes", "250", "--pixels", "448", "--captions", "0", "--format", "folder")
    folder.mkdir()
    for number, file in enumerate(sorted((scenes / "images").rglob("*.png"))):
        Image.open(file).convert("RGB").save(folder / f"{number:04}.jpg", quality=90)


def needs(*modules):
    missing = [module for module in modules if not has(module)]
    if missing:
        raise Missing(f"Python cannot import {', '.join(missing)}: pip install -r tools/reference/requirements.txt")


def has(module):
    return importlib.util.find_spec(module) is not None


def has_tiles():
    """Whether the processor multiplies tiles of bfloat16 (Intel's AMX)."""
    flags = pathlib.Path("/proc/cpuinfo")
    return flags.is_file() and "amx_bf16" in flags.read_text()


def program():
    if not PROGRAM.is_file():
        raise Missing(f"target/release/headspan is not built: {BUILD}")
    return PROGRAM


def example(name):
    path = RELEASE / "examples" / name
    if not path.is_file():
        raise Missing(f"target/release/examples/{name} is not built: {BUILD}")
    return path


def said(message):
    print(f"    {message}", file=sys.stderr, flush=True)


# Processes.

# A process of its own between: the highest memory of a child is counted from that of the process that starts it.
BETWEEN = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
seconds, usage = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024}))
sys.exit(done.returncode)
"""


@dataclasses.dataclass
class Finished:
    """A process that ended well: wall seconds, CPU seconds, highest resident memory in MiB."""

    seconds: float
    cpu: float
    peak: float


def child(*command, folder=None):
    """Runs a command to its end."""
    command = [str(word) for word in command]
    done = subprocess.run([sys.executable, "-c", BETWEEN, *command], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"`{pathlib.Path(command[0]).name} {' '.join(command[1:3])} …` failed, exit code {done.returncode}: {last_lines(done.stderr)}")
    return Finished(**json.loads(done.stdout))


def last_lines(text, count=3):
    return " / ".join(text.strip().splitlines()[-count:])


def status_mib(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the system does not tell {field}")


class Worker:
    """A process that answers a line of words with a line of numbers; it loads what it needs before the first answer."""

    def __init__(self, *command, threads, cores=None):
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        confine = (lambda: os.sched_setaffinity(0, cores)) if cores else None
        self.name = " ".join(pathlib.Path(str(word)).name for word in command[:3])
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=environment, preexec_fn=confine,
        )

    def ask(self, *words):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            raise RuntimeError(f"`{self.name}` ended: {last_lines(self.errors.read())}")
        numbers = [float(number) for number in answer.split()]
        return numbers[0] if len(numbers) == 1 else numbers

    def settle(self, *words):
        """Our allocator gives freed memory back some time later, and only as it goes on: asks the same for two seconds, and twice."""
        begun = time.monotonic()
        self.ask(*words)
        self.ask(*words)
        while time.monotonic() - begun < 2:
            self.ask(*words)

    def forget_peak(self):
        """Loading is over: from here on the highest memory counts."""
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak(self):
        return status_mib(self.process.pid, "VmHWM")

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.errors.close()


@contextlib.contextmanager
def workers(commands):
    """Several workers by name, all ended at the end. `commands` maps a name to a function that starts one."""
    started = {}
    try:
        for name, start in commands.items():
            started[name] = start()
        yield started
    finally:
        for worker in started.values():
            worker.close()


def pytorch(bench, mode, source="-", cores=None):
    """A worker of `pytorch_side.py`."""
    needs("torch", "open_clip", "torchvision", "safetensors", "PIL")
    threads = len(cores) if cores else bench.threads
    return Worker(sys.executable, ROOT / "benches/pytorch_side.py", mode, source, threads, threads=threads, cores=cores)


def vision_pass(bench, checkpoint, precision, *device):
    """A worker with our image tower and the program's allocator, on the CPU unless a device is named."""
    return Worker(example("vision_pass"), checkpoint, precision, *device, threads=bench.threads)


def alternate(methods, rounds, warm=1):
    """Calls every method in turn, `rounds` times over after `warm` rounds that do not count."""
    found = {name: [] for name in methods}
    for number in range(warm + rounds):
        for name, method in methods.items():
            value = method()
            if number >= warm:
                found[name].append(value)
    return found


# Figures and tables.

# What the section that is being measured has for the table over all processors, by label.
FIGURES = {}


def told(values, digits=1):
    """Median (min–max)."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def figure(label, ours, theirs=None, digits=2):
    """Puts our median into the table over all processors, with theirs and the ratio."""
    middle = statistics.median
    text = lambda values: f"{middle(values):.3g}" if middle(values) < 1000 else f"{middle(values):,.0f}"
    FIGURES[label] = text(ours) if theirs is None else f"{text(ours)} vs. {text(theirs)} ({middle(ours) / middle(theirs):.{digits}f})"


def ratio(values, base, digits=2):
    """Of the medians."""
    return f"{statistics.median(values) / statistics.median(base):.{digits}f}"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


# Machine and versions.


def cpu_facts():
    facts = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    return facts


# What a virtual machine's name of its processor leaves out: generation by vendor, family and model.
GENERATIONS = {
    ("AuthenticAMD", 23, 49): "Zen 2",
    ("AuthenticAMD", 25, 1): "Zen 3",
    ("AuthenticAMD", 25, 17): "Zen 4",
    ("AuthenticAMD", 25, 160): "Zen 4c",
    ("AuthenticAMD", 26, 2): "Zen 5",
    ("AuthenticAMD", 26, 17): "Zen 5c",
    ("GenuineIntel", 6, 85): "Cascade Lake",
    ("GenuineIntel", 6, 106): "Ice Lake",
    ("GenuineIntel", 6, 143): "Sapphire Rapids",
    ("GenuineIntel", 6, 173): "Granite Rapids",
    ("GenuineIntel", 6, 207): "Emerald Rapids",
}


def processor():
    """Name of the processor and how many cores are used: `AMD EPYC (Zen 5), 2 cores`."""
    facts = cpu_facts()
    name = re.sub(r"\((R|TM)\)| CPU.*| Processor.*| \d+-Core.*", "", facts.get("model name", platform.machine())).strip()
    number = lambda key: int(facts.get(key, -1))
    generation = GENERATIONS.get((facts.get("vendor_id"), number("cpu family"), number("model")))
    return f"{name}{f' ({generation})' if generation else ''}, {len(os.sched_getaffinity(0))} cores"


def slug(text):
    """As a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def machine():
    facts = cpu_facts()
    flags = facts.get("flags", "").split()
    wide = [name for flag, name in {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16"}.items() if flag in flags]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    model = f"{facts.get('model name', platform.machine())}, family {facts.get('cpu family', '?')} model {facts.get('model', '?')}"
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} of {os.cpu_count()} cores used, {total:.0f} GiB, {', '.join(wide) or 'no wide vectors'}, {platform.system()} {platform.release()}; load {os.getloadavg()[0]:.1f} at the start"


def output(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def commit():
    changed = output("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches/RESULTS.md", ":!benches/results")
    return (output("git", "rev-parse", "--short=12", "HEAD") or "unknown") + (" with uncommitted changes" if changed else "")


def versions(bench):
    parts = [f"headspan {commit()}" + (f" with features {bench.features}" if bench.features else ""), output("rustc", "--version") or "no rustc", f"Python {platform.python_version()}"]
    for package in ("torch", "open_clip_torch", "torchvision", "pillow", "onnxruntime", "openvino"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            parts.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(parts) + f"; {len(os.sched_getaffinity(0))} threads on every side"


# Sections.


@dataclasses.dataclass
class Section:
    """A part of the results: `measure(bench)` gives its Markdown, and hands what belongs into the table over all processors to `figure`."""

    name: str
    title: str
    measure: callable

    def text(self, bench):
        """With when, where and of what; what is missing is said in its place."""
        begun, state = time.monotonic(), machine()
        FIGURES.clear()
        print(f"{self.name}: {self.title}", file=sys.stderr, flush=True)
        try:
            body = self.measure(bench)
        except Missing as missing:
            body = f"**Not measured**: {missing}."
        except Exception as error:  # the other sections must still be measured
            traceback.print_exc()
            body = f"**Failed**: {type(error).__name__}: {error}"
        seconds = time.monotonic() - begun
        print(f"{self.name}: {seconds:.0f} s{' — ' + body if body.startswith('**') else ''}", file=sys.stderr, flush=True)
        size = "*Quick: sizes too small for the figures to mean anything.* " if bench.quick else ""
        when = datetime.datetime.now(datetime.timezone.utc).strftime("%d %B %Y, %H:%M UTC")
        return f"## {self.title}\n\n{size}{when}, took {seconds:.0f} s. {state}. {versions(bench)}.\n\n{body.strip()}\n" + (f"\n<!-- figures {json.dumps(FIGURES, ensure_ascii=False)} -->\n" if FIGURES and not bench.quick else "")


def arguments(parser):
    parser.add_argument("--quick", action="store_true", help="every size tiny: checks the scripts, the figures mean nothing")
    parser.add_argument("--images", type=pathlib.Path, help="folder of JPEG files; default: $HEADSPAN_SHARED/data/photos, else rendered scenes")
    parser.add_argument("--threads", type=int, help="cores that every side may use; default: all")
    parser.add_argument("--features", help="features that cargo builds headspan with, recorded")
    parser.add_argument("--work", type=pathlib.Path, help="folder for checkpoints, scenes and runs, kept; default: a temporary one")


@contextlib.contextmanager
def bench(given):
    """The bench that the arguments describe."""
    if given.threads:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    work = given.work.resolve() if given.work else pathlib.Path(tempfile.mkdtemp(prefix="headspan-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        yield Bench(given.quick, given.images and given.images.resolve(), work, given.features)
    finally:
        if not given.work:
            shutil.rmtree(work, ignore_errors=True)


def alone(section):
    """A section as a program: prints its Markdown."""
    parser = argparse.ArgumentParser(description=section.title)
    arguments(parser)
    with bench(parser.parse_args()) as own:
        print(section.text(own))

"""Makes system calls fail, or kills the program at them, one by one, and says what became of the run.

    python3 tools/torture/faults.py BIN [--calls N] [--kinds errors,kills,disk,clock,twice] [--seed S] [--set KEY=VALUE]

A toy model runs over toy images once undisturbed: its tables are what every later run must end with. Then, for each kind of
system call on a file of the run or of its inputs, the program runs again with that call failing at one place (strace injects
the error), or being killed there (SIGKILL, while it makes the call). After each, the program runs a second time without a fault.

What must hold: no panic, no hang, no signal of its own; an exit code of 0 or of an error with a message; and after the second
run the same tables, byte for byte. Needs strace; `clock` needs faketime, `disk` the right to mount a tmpfs. What is missing is
said and left out. The exit code is 1 if anything did not hold.
"""
import argparse
import collections
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 120
# Calls that a run makes on its own files, with the errors that a disk, a network file system or a full table of files gives.
FAULTS = {
    "openat": ["EIO", "EMFILE", "EACCES"],
    "read": ["EIO"],
    "pread64": ["EIO"],
    "write": ["ENOSPC", "EIO"],
    "fsync": ["EIO"],
    "fdatasync": ["EIO"],
    "rename": ["EIO", "ENOSPC"],
    "renameat2": ["EIO"],
    "linkat": ["EIO"],
    "unlink": ["EIO"],
    "mkdir": ["ENOSPC"],
    "flock": ["EIO"],
    "statx": ["EIO"],
    "getdents64": ["EIO"],
    "mmap": ["ENOMEM"],
    "ftruncate": ["EIO"],
}
KILLED_AT = ["openat", "write", "fsync", "fdatasync", "rename", "renameat2", "linkat", "unlink", "mkdir"]


class Campaign:
    def __init__(self, binary, folder, settings):
        self.binary, self.folder, self.settings = binary, folder, settings
        self.world = folder / "world"
        subprocess.run([sys.executable, str(HERE.parent / "check/make_toy_world.py"), str(self.world)], check=True)
        self.findings, self.tried = [], collections.Counter()

    def command(self, runs):
        # Each command brings its own settings: what the machine's user has set must not matter.
        world = self.world
        return [
            self.binary, "--quiet", "run-all", "--checkpoint", str(world / "toy-clip"), "--images", str(world / "images"),
            "--texts", str(world / "pool.csv"), "--runs", str(runs), "--dataset", "d", "--device", "cpu", "--k", "3",
            *(word for setting in self.settings for word in ("--set", setting)),
        ]

    def run(self, runs, prefix=(), seconds=SECONDS):
        """Exit code (None: it hung) and what it said."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSPAN__")}
        # One thread each: then the n-th call is the same call every time, as far as that can be had.
        environment |= {"RAYON_NUM_THREADS": "1", "RUST_BACKTRACE": "0"}
        try:
            done = subprocess.run([*prefix, *self.command(runs)], capture_output=True, timeout=seconds, env=environment)
        except subprocess.TimeoutExpired:
            return None, "no end after %d s" % seconds
        return done.returncode, done.stderr.decode(errors="replace")

    def tables(self, runs):
        found = {}
        for path in sorted(Path(runs).rglob("*.parquet")):
            found[str(path.relative_to(runs))] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def judge(self, kind, what, runs, code, said, killed=False):
        """Notes what does not hold of one disturbed run, then continues it."""
        self.tried[kind] += 1
        wrong = []
        if code is None:
            wrong.append("it hung")
        elif "panicked" in said or code == 101:
            wrong.append("it panicked: " + next((line for line in said.splitlines() if "panicked" in line), ""))
        elif killed and code not in (0, 1, -9, 137):
            wrong.append(f"exit code {code}")
        elif not killed and code not in (0, 1, 2):
            wrong.append(f"exit code {code}: {said.strip()[-200:]}")
        elif code in (1, 2) and not said.strip():
            wrong.append("an error without a message")
        code, said = self.run(runs)
        if code != 0:
            wrong.append(f"it does not continue: {said.strip()[-300:]}")
        elif self.tables(runs) != self.right:
            differ = [name for name in self.right.keys() | self.tables(runs).keys() if self.right.get(name) != self.tables(runs).get(name)]
            wrong.append(f"other tables after it was continued: {', '.join(sorted(differ))}")
        left = [path.name for path in Path(runs).rglob("*.tmp")]
        if left:
            wrong.append(f"temporary files are left: {left}")
        for sentence in wrong:
            self.findings.append(f"{kind} {what}: {sentence}")
            print(f"FINDING {kind} {what}: {sentence}", flush=True)
        shutil.rmtree(runs, ignore_errors=True)

    def counts(self, calls):
        """How often an undisturbed run makes each call on a file below our folder."""
        log = self.folder / "calls.txt"
        runs = self.folder / "counted"
        prefix = ["strace", "-f", "-qq", "-y", "-e", "trace=" + ",".join(f"?{call}" for call in calls), "-o", str(log)]
        code, said = self.run(runs, prefix)
        assert code == 0, said
        found = collections.defaultdict(list)
        number = collections.Counter()
        for line in log.read_text(errors="replace").splitlines():
            match = re.match(r"\d+\s+(?:<\.\.\. )?(\w+)\(", line)
            if not match:
                continue
            call = match.group(1)
            number[call] += 1
            if str(self.folder) in line:
                found[call].append(number[call])
        shutil.rmtree(runs)
        return found


def places(numbers, most, chance):
    """At most so many of the calls: the first and the last ones, and some between."""
    if len(numbers) <= most:
        return numbers
    at_ends = max(1, most // 4)
    ends = numbers[:at_ends] + numbers[-at_ends:]
    return sorted(set(ends + chance.sample(numbers, max(0, most - len(ends)))))


def errors(campaign, arguments, chance):
    counts = campaign.counts(FAULTS)
    for call, names in FAULTS.items():
        for error in names:
            for at in places(counts.get(call, []), arguments.calls, chance):
                runs = campaign.folder / "runs"
                prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={at}"]
                code, said = campaign.run(runs, prefix)
                campaign.judge("error", f"{call} {error} at call {at}", runs, code, said)


def kills(campaign, arguments, chance):
    counts = campaign.counts(KILLED_AT)
    for call in KILLED_AT:
        for at in places(counts.get(call, []), arguments.calls, chance):
            runs = campaign.folder / "runs"
            prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={at}"]
            code, said = campaign.run(runs, prefix)
            campaign.judge("kill", f"at call {at} of {call}", runs, code, said, killed=True)


def disk(campaign, arguments, chance):
    """A disk that is full after so many kB, and is emptied afterwards."""
    mounted = campaign.folder / "disk"
    mounted.mkdir()
    for kilobytes in (4, 16, 40, 64, 100, 160, 240):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(mounted)], capture_output=True).returncode != 0:
            print("left out: disk (a tmpfs cannot be mounted here)")
            return
        runs = mounted / "runs"
        code, said = campaign.run(runs)
        if code not in (0, 1, None):
            campaign.findings.append(f"disk of {kilobytes} kB: exit code {code}: {said.strip()[-200:]}")
        if code == 1 and not re.search(r"space|full", said, re.I):
            campaign.findings.append(f"disk of {kilobytes} kB: the message does not say so: {said.strip()[-200:]}")
        subprocess.run(["mount", "-o", "remount,size=100m", str(mounted)], check=True)
        campaign.judge("disk", f"of {kilobytes} kB", runs, code, said)
        subprocess.run(["umount", str(mounted)], check=True)


def clock(campaign, arguments, chance):
    """The clock goes back by a day between two runs, and within one."""
    if not shutil.which("faketime"):
        print("left out: clock (faketime is not installed)")
        return
    for first, second in (("+1d", "-1d"), ("-30d", "+0d")):
        runs = campaign.folder / "runs"
        prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=rename", "-e", "inject=rename:error=EIO:when=4", "faketime", "-f", first]
        code, said = campaign.run(runs, prefix)
        code, said = campaign.run(runs, ["faketime", "-f", second])
        campaign.judge("clock", f"{first}, then {second}", runs, code, said)


def twice(campaign, arguments, chance):
    """Two processes begin on one folder at once: one does the work, the other says that it is being done."""
    for _ in range(max(2, arguments.calls // 4)):
        runs = campaign.folder / "runs"
        both = [subprocess.Popen(campaign.command(runs), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) for _ in range(2)]
        ends = [(process.communicate(timeout=SECONDS)[1].decode(errors="replace"), process.returncode) for process in both]
        if all(code != 0 for _, code in ends):
            campaign.findings.append(f"twice: neither run got through: {[said[-200:] for said, _ in ends]}")
        for said, code in ends:
            if "panicked" in said or code not in (0, 1, 2):
                campaign.findings.append(f"twice: exit code {code}: {said[-200:]}")
        campaign.judge("twice", "", runs, 0, "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--calls", type=int, default=12, help="places at which each call fails, at most")
    parser.add_argument("--kinds", default="errors,kills,disk,clock,twice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of all runs, such as images.keep=moments")
    arguments = parser.parse_args()
    if not shutil.which("strace"):
        sys.exit("strace is not installed")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        print("left out: everything (strace may not trace programs here)")
        return
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(str(Path(arguments.binary).resolve()), Path(folder), arguments.set)
        runs = campaign.folder / "right"
        code, said = campaign.run(runs)
        assert code == 0, said
        campaign.right = campaign.tables(runs)
        for kind in arguments.kinds.split(","):
            {"errors": errors, "kills": kills, "disk": disk, "clock": clock, "twice": twice}[kind](campaign, arguments, random.Random(arguments.seed))
    tried = ", ".join(f"{count} {kind}" for kind, count in campaign.tried.items())
    print(f"{sum(campaign.tried.values())} disturbed runs ({tried}), {len(campaign.findings)} findings, {(time.monotonic() - begun) / 60:.1f} minutes")
    for finding in campaign.findings:
        print("  " + finding)
    sys.exit(1 if campaign.findings else 0)


if __name__ == "__main__":
    main()

"""Two binaries of headspan, each in a folder of its own, so that the same words with relative paths do the same in both."""

import contextlib
import dataclasses
import hashlib
import http.client
import os
import pathlib
import subprocess

LIMIT_SECONDS = 1800


@dataclasses.dataclass
class Done:
    """How a command ended. The folder's own path is taken out of what it said."""

    code: int
    stdout: str
    stderr: str


@dataclasses.dataclass
class Side:
    """A binary and the folder that it works in."""

    name: str
    program: pathlib.Path
    folder: pathlib.Path

    def within(self, name):
        """The same binary in a folder below, made if it is not there."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return Side(self.name, self.program, folder)

    def run(self, words):
        words = [str(word) for word in words]
        done = subprocess.run(
            [self.program, *words], cwd=self.folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SECONDS,
        )
        return Done(done.returncode, self.neutral(done.stdout), self.neutral(done.stderr))

    def must(self, words):
        """Runs a command that the rest depends on."""
        done = self.run(words)
        if done.code != 0:
            raise RuntimeError(f"{self.name}: `headspan {' '.join(map(str, words))}` ended with {done.code}: {last_lines(done.stderr)}")
        return done

    def neutral(self, said):
        return said.decode(errors="replace").replace(str(self.folder), "[folder]")

    def described(self):
        version = self.run(["--version"]).stdout.partition("\n")[0]
        return f"{self.name}: {self.program}, {version}, SHA-256 {hashlib.sha256(self.program.read_bytes()).hexdigest()[:16]}…"

    @contextlib.contextmanager
    def explorer(self, dataset):
        """The explorer on a free port of this machine: a function from a path to status and body."""
        command = [self.program, "explore", "--dataset", dataset, "--device", "cpu", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, cwd=self.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            address = process.stdout.readline().decode().strip().removeprefix("http://").rstrip("/")
            if not address:
                raise RuntimeError(f"{self.name}: the explorer did not start")
            connection = http.client.HTTPConnection(address, timeout=LIMIT_SECONDS)
            yield lambda path: answer(connection, path, self)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def answer(connection, path, side):
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, side.neutral(response.read())


def environment():
    """Without settings of headspan, colours, or a terminal's width."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADSPAN_")}
    return kept | {"NO_COLOR": "1", "COLUMNS": "110"}


def last_lines(text, count=3):
    return " / ".join(text.strip().splitlines()[-count:])

"""What a node does: one shard of one model.

Nothing but :class:`Done` goes back. The parts are in the run's folder, which all nodes see, or in a store.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from headspan import _native
from headspan._errors import HeadspanError, InputError
from headspan._place import is_address

#: Beginning of the environment variables that are settings.
SETTINGS = "HEADSPAN__"

# The lock of a task that was lost is free when its node, or the file server, has noticed the loss. In a store it is a lease, which ends
# 90 seconds after its holder.
_WAIT_FOR_LOCK_SECS = 30.0
_WAIT_FOR_LEASE_SECS = 120.0
_LOCKED = re.compile(r"another headspan \(process ")
# What a file system on a network says and a later try may not.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_PASSING = {
    errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNABORTED, errno.EHOSTUNREACH,
    errno.ENETUNREACH, errno.ENETDOWN,
}  # fmt: skip
# What a store says that gave no answer, however often it was asked.
_UNREACHABLE = re.compile(r"://[^`]*` cannot be reached")


class PassingError(HeadspanError):
    """Something failed that may not fail in a later try."""


@dataclass(frozen=True)
class Shard:
    """A shard of one model's extraction. A node needs nothing else."""

    model: str
    index: int
    count: int
    #: Images of it.
    images: int
    #: Arguments of the command line.
    command: list[str]
    #: Settings of the environment.
    environment: dict[str, str]
    #: The caller's current folder, to which paths in configuration files are relative.
    folder: str
    #: Threads that compute; 0 for all that the node has.
    threads: int
    #: Version of headspan.
    version: str

    @property
    def name(self) -> str:
        """Its name for people, such as ``ViT-B-32 shard 3/8``."""
        return f"{self.model} shard {self.index}/{self.count}"


@dataclass(frozen=True)
class Done:
    """What is told of a shard that is done."""

    node: str
    seconds: float


def extract(shard: Shard) -> Done:
    """Extracts the parts of a shard that are missing, in this process."""
    begun = time.monotonic()
    node = socket.gethostname()
    if shard.version != _native.__version__:
        message = f"node `{node}` has headspan {_native.__version__}, and the caller has {shard.version}"
        raise InputError(message, "install the same version on all nodes")
    if shard.threads:
        # Read when the process first computes. A node may have several tasks, and each its own processors.
        os.environ.setdefault("RAYON_NUM_THREADS", str(shard.threads))
    with _settings(shard.environment), _in_folder(shard.folder):
        until = begun + wait_for_lock(shard.command)
        while True:
            try:
                _native.call(shard.command)
                return Done(node, time.monotonic() - begun)
            except HeadspanError as error:
                if not may_pass(error):
                    raise
                if not is_locked(error) or time.monotonic() > until:
                    raise PassingError(error.message, error.hint) from None
            time.sleep(1.0)


def wait_for_lock(command: Sequence[str]) -> float:
    """Seconds after which the lock of a process that was killed is free, for the runs that a command names."""
    in_store = any(flag.startswith("--runs=") and is_address(flag) for flag in command)
    return _WAIT_FOR_LEASE_SECS if in_store else _WAIT_FOR_LOCK_SECS


def is_locked(error: HeadspanError) -> bool:
    """Whether another process holds the run or the shard."""
    return _LOCKED.search(error.message) is not None


def may_pass(error: HeadspanError) -> bool:
    """Whether a later try may succeed."""
    message = error.message
    return (
        is_locked(error)
        or _UNREACHABLE.search(message) is not None
        or any(int(number) in _PASSING for number in _OS_ERROR.findall(message))
    )


@contextmanager
def _settings(given: Mapping[str, str]) -> Iterator[None]:
    """The caller's settings in place of the node's, so that all parts are made with the same."""
    before = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
    _replace(given)
    try:
        yield
    finally:
        _replace(before)


def _replace(settings: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        del os.environ[name]
    os.environ.update(settings)


@contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    """The caller's current folder, where this node has it."""
    before = os.getcwd()
    if os.path.isdir(folder):
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)

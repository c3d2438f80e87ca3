"""Shards as tasks of Ray, on a cluster that is there or on this machine."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from headspan import _native
from headspan._engines._shard import Done, PassingError, Shard, extract
from headspan._errors import HeadspanError, InputError
from headspan._progress import Bars, Progress, told

# How often the caller looks whether a task has ended, and Ctrl-C is heard.
_TICK_SECS = 0.5
_CONNECT_SECS = 10.0
_LEAST_IN_FLIGHT = 16

_log = logging.getLogger("headspan.ray")


@contextmanager
def connect(
    *, num_cpus: float, num_gpus: float, retries: int, address: str | None, in_flight: int | None
) -> Iterator[RayCluster]:
    """A cluster while the context lasts. A connection of the caller's own stays as it is."""
    ray = _ray()
    own = not ray.is_initialized()
    if not own and address is not None:
        raise InputError(
            f"this program is connected to Ray already, so address `{address}` is not used", "leave it out"
        )
    is_local = own and _init(ray, address)
    try:
        resources = {"CPU": num_cpus, "GPU": num_gpus}
        options: dict[str, Any] = {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "max_retries": retries,
            "retry_exceptions": [PassingError],
            # Tasks of one node share its disk, its network and its memory.
            "scheduling_strategy": "SPREAD",
        }
        yield RayCluster(ray, options, _slots(ray, resources, is_local), in_flight)
    finally:
        if own:
            ray.shutdown()


class RayCluster:
    """A cluster of Ray."""

    def __init__(self, ray: Any, options: dict[str, Any], slots: int, in_flight: int | None) -> None:
        self.slots = slots
        self._ray = ray
        self._options = options
        self._in_flight = in_flight or max(_LEAST_IN_FLIGHT, 2 * slots)
        self._function = ray.remote(extract)

    def run(self, shards: Sequence[Shard], progress: Progress) -> None:
        """Runs all shards."""
        with _counted(shards, progress) as count:
            queue = list(reversed(shards))
            running: dict[Any, Shard] = {}
            try:
                while queue or running:
                    while queue and len(running) < self._in_flight:
                        shard = queue.pop()
                        running[self._submit(shard)] = shard
                    ready, _ = self._ray.wait(list(running), num_returns=1, timeout=_TICK_SECS)
                    for reference in ready:
                        shard = running.pop(reference)
                        self._finish(reference, shard)
                        count(shard)
            finally:
                # All of them, where the loop ended by an error or by Ctrl-C.
                for reference in running:
                    self._ray.cancel(reference)

    def _submit(self, shard: Shard) -> Any:
        return self._function.options(name=f"headspan {shard.name}", **self._options).remote(shard)

    def _finish(self, reference: Any, shard: Shard) -> None:
        errors = self._ray.exceptions
        try:
            done: Done = self._ray.get(reference)
        except errors.RayTaskError as error:
            _raise_cause(error, shard)
        except errors.RayError as error:
            retries = self._options["max_retries"]
            message = f"{shard.name} was lost, also after {retries} retries: {_first_line(error)}"
            hint = "a worker that is killed often lacks memory: give tasks more `num_cpus`; the same call continues"
            raise HeadspanError(message, hint) from error
        _log.info("%s done on %s in %.1f s", shard.name, done.node, done.seconds)


def _raise_cause(error: Any, shard: Shard) -> NoReturn:
    """Raises what a task raised, with its words and its hint, as an error of the same class."""
    cause = error.cause
    if isinstance(cause, HeadspanError):
        kind = HeadspanError if isinstance(cause, PassingError) else type(cause)
        raise kind(f"{shard.name}: {cause.message}", cause.hint) from None
    hint = None
    if "No module named 'headspan" in str(error):
        hint = f"install headspan {_native.__version__} on all nodes"
    raise HeadspanError(f"{shard.name} failed: {_last_line(error)}", hint) from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _last_line(error: BaseException) -> str:
    return next(
        (line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
    )


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise HeadspanError("Ray is not installed", 'pip install "ray[default]"') from error
    return ray


def _init(ray: Any, address: str | None) -> bool:
    """Connects to a cluster, or starts one on this machine, and says whether it did the latter."""
    named = address if address is not None else os.environ.get("RAY_ADDRESS")
    hint = '`ray status` on a node shows whether it runs there; address="local" starts Ray on this machine'
    _refuse_silent(named, hint)
    try:
        ray.init(address=named or "auto")
        return named == "local"
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        if named or not isinstance(error, ConnectionError):
            where = "was found" if named in (None, "auto") else f"answers at `{named}`"
            raise HeadspanError(f"no Ray cluster {where}: {_first_line(error)}", hint) from error
    ray.init(address="local")
    return True


def _refuse_silent(address: str | None, hint: str) -> None:
    """Ray looks for a cluster for more than a minute and then ends the process, so the address is tried first."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECS).close()
    except (OSError, OverflowError) as error:
        raise HeadspanError(f"no Ray cluster answers at `{address}`: {error}", hint) from error


def _slots(ray: Any, resources: dict[str, float], is_local: bool) -> int:
    """Number of tasks that the nodes can run at once."""
    asked = {name: amount for name, amount in resources.items() if amount > 0}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fits = [
        min((math.floor(node.get(name, 0) / amount) for name, amount in asked.items()), default=1)
        for node in nodes
    ]
    if sum(fits) == 0:
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in asked.items())
        if is_local:
            raise InputError(f"this machine does not have {wanted} for a task")
        # An autoscaler may add such a node, so the tasks wait for it.
        _log.warning("no node of the cluster has %s at present; tasks wait until one has", wanted)
    return max(1, sum(fits))


@contextmanager
def _counted(shards: Sequence[Shard], progress: Progress) -> Iterator[Callable[[Shard], None]]:
    """Tells of shards that are done, and of their images."""
    bars = Bars()
    tell = bars if progress is True else None if progress is False else told(progress)
    total, done = (len(shards), sum(shard.images for shard in shards)), [0, 0]

    def show() -> None:
        if tell is not None:
            tell([(0, "extract", "shards", done[0], total[0]), (1, "extract", "images", done[1], total[1])])

    def count(shard: Shard) -> None:
        done[0] += 1
        done[1] += shard.images
        show()

    show()
    try:
        yield count
    finally:
        bars.close()

"""Runs on machines that something else schedules.

An engine is a module here with a function ``connect``, and its line in the table :data:`ENGINES`. It runs shards, and knows nothing
of what is in them; :mod:`headspan._engines._work` says which are missing, and :mod:`headspan._engines._shard` is what a node does.
headspan schedules nothing itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from headspan._engines._shard import Shard, is_locked, wait_for_lock
from headspan._engines._work import Call, missing_of
from headspan._errors import HeadspanError, InputError
from headspan._pipeline import run_all
from headspan._progress import Progress

if TYPE_CHECKING:
    from headspan._run import Run

#: Modules of the engines by their names.
ENGINES = {"ray": "headspan._engines.ray"}

# Parts of a shard where the number of shards is not given, on processors and on GPUs: a task loads the model once, which should take
# little of its time.
_PARTS_OF_SHARD = (16, 128)


class Cluster(Protocol):
    """Machines that an engine has, while its context lasts."""

    #: Tasks that can run at once.
    slots: int

    def run(self, shards: Sequence[Shard], progress: Progress) -> None:
        """Runs all shards. An error of a shard is raised, and nothing is left queued then."""


class Engine(Protocol):
    """Module of an engine."""

    def connect(
        self, *, num_cpus: float, num_gpus: float, retries: int, address: str | None, in_flight: int | None
    ) -> AbstractContextManager[Cluster]: ...


def submit(
    models: str | Sequence[str] = (),
    *,
    engine: str = "ray",
    tasks: int | None = None,
    task_minutes: float | None = None,
    task_gigabytes: float | None = None,
    num_cpus: float = 1,
    num_gpus: float = 0,
    retries: int = 3,
    address: str | None = None,
    in_flight: int | None = None,
    progress: Progress = True,
    **arguments: Any,
) -> list[Run]:
    """Does what :func:`run_all` does, with the extraction on the machines of a cluster. See docs/ray.md.

    Each model's images are cut into shards, and each shard is a task of the engine. Only shards with missing parts are submitted.
    Then this program joins the parts and runs the later stages. All nodes must see the images, the checkpoint and the folder of
    runs by the same paths or addresses. Ctrl-C cancels the tasks and leaves what is committed; the same call continues.

    :param models: Models as :func:`run_all` takes them.
    :param engine: ``"ray"``.
    :param tasks: Number of shards for each model. Default: shards of 16 parts (of 128 on GPUs), and at least one for each
        task that can run at once.
    :param task_minutes: In place of ``tasks``: shards that take about so many minutes each, by the rate that a task or a run of the
        model had last.
    :param task_gigabytes: In place of ``tasks``: shards that read about so many gigabytes of images each.
    :param num_cpus: Processors of a task.
    :param num_gpus: GPUs of a task.
    :param retries: How often a task is run again whose worker or node is lost.
    :param address: The cluster: ``"auto"``, ``"HOST:PORT"``, or ``"local"`` for one that is started for the call. Default:
        ``RAY_ADDRESS``, else a cluster of this machine, else ``"local"``.
    :param in_flight: Maximum number of tasks that are submitted and not yet done. Default: twice as many as can run at once, and at
        least 16.
    :param progress: As in :func:`run_all`; shards and their images are counted.
    :param arguments: Further arguments of :func:`run_all`. Images must be places or paths.
    :return: The finished runs, one a model.
    """
    if engine not in ENGINES:
        raise InputError(f"engine `{engine}` is not known", f"known engines: {', '.join(ENGINES)}")
    for name, value, least in (("tasks", tasks, 1), ("in_flight", in_flight, 1), ("retries", retries, 0)):
        if value is not None and value < least:
            raise InputError(f"{name} is {value}, expected {least} or more")
    if sum(value is not None for value in (tasks, task_minutes, task_gigabytes)) > 1:
        raise InputError("of tasks, task_minutes and task_gigabytes only one can be given")
    for name, size in (("task_minutes", task_minutes), ("task_gigabytes", task_gigabytes)):
        if size is not None and not size > 0:
            raise InputError(f"{name} is {size}, expected more than 0")
    for name, amount in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
        if amount < 0:
            raise InputError(f"{name} is {amount}, expected 0 or more")
    call = Call.of(models, arguments)
    missing = [one for one in missing_of(call) if one.parts]
    on_gpus = num_gpus > 0
    # Where a rate or a size is wanted and not known, that is said before anybody connects.
    cut: list[int] = []
    if task_minutes:
        cut = [one.count_of_minutes(task_minutes, on_gpus) for one in missing]
    elif task_gigabytes:
        cut = [one.count_of_gigabytes(task_gigabytes) for one in missing]
    if missing:
        module = cast(Engine, import_module(ENGINES[engine]))
        with module.connect(
            num_cpus=num_cpus, num_gpus=num_gpus, retries=retries, address=address, in_flight=in_flight
        ) as cluster:
            threads = math.ceil(num_cpus)
            counts = cut or [tasks or _count(one.total, cluster.slots, on_gpus) for one in missing]
            cluster.run(
                [shard for one, count in zip(missing, counts) for shard in one.shards(count, threads)],
                progress,
            )
        for one in missing:
            one.wait_until_there()
    return _join(call, progress, wait_for_lock(call.flags()) if missing else 0.0)


def _join(call: Call, progress: Progress, patience: float) -> list[Run]:
    """The later stages. A task of a call that was killed may still hold a run for a moment."""
    until = time.monotonic() + patience
    while True:
        try:
            return run_all(call.models, progress=progress, **call.arguments)
        except HeadspanError as error:
            if not is_locked(error) or time.monotonic() >= until:
                raise
        time.sleep(1.0)


def _count(parts: int, slots: int, on_gpus: bool) -> int:
    """Number of shards of a model by the number of its parts."""
    return max(1, min(parts, max(slots, -(-parts // _PARTS_OF_SHARD[on_gpus]))))

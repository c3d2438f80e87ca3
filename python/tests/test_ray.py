"""Shards on a real Ray cluster of this machine: the tables of one process, whatever is killed meanwhile."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed")
psutil = pytest.importorskip("psutil", reason="psutil, which finds the workers, is not installed")

import headspan
from headspan import _engines
from headspan._engines import _shard, _work
from headspan._engines._shard import PassingError

MODEL = "scenes-4"
PART_ROWS = 8
SCENES = 600
PARTS = SCENES // PART_ROWS
# Longest wait for anything; nothing here depends on when things happen.
SECONDS = 120
# The driver as a process of its own, which can be killed.
DRIVER = "import headspan, json, sys; headspan.submit(progress=False, **json.loads(sys.argv[1]))"


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield patch


@pytest.fixture(scope="module")
def cluster(environment: pytest.MonkeyPatch) -> Iterator[tuple[str, psutil.Process]]:
    """Address and process of a cluster of one node. Its environment has no settings of headspan."""
    # Names of sockets may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0"]
        command += ["--num-cpus=2", "--include-dashboard=false", f"--temp-dir={folder}"]
        log = Path(folder) / "start.log"
        with log.open("wb") as out:
            head = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        process = psutil.Process(head.pid)
        try:
            # The address stands a few lines below this.
            waited(lambda: "To terminate the Ray runtime" in log.read_text() or head.poll() is not None)
            assert head.poll() is None, log.read_text()
            yield log.read_text().split("--address='")[1].split("'")[0], process
        finally:
            all_of_it = [*process.children(recursive=True), process]
            for one in all_of_it:
                with_pid(one.kill)
            head.wait()
            psutil.wait_procs(all_of_it, timeout=10)


@pytest.fixture(scope="module")
def scenes(
    tmp_path_factory: pytest.TempPathFactory, cluster: Any, environment: pytest.MonkeyPatch
) -> dict[str, str]:
    """Arguments over rendered scenes in tars. How many rows a part has stands in this program's environment alone."""
    environment.setenv("HEADSPAN__IMAGES__PART_ROWS", str(PART_ROWS))
    folder = tmp_path_factory.mktemp("scenes")
    headspan.command("scenes", out=folder, scenes=SCENES, format="webdataset", seed=1)
    places = {"images": "images", "classes": "classes.txt", "texts": "descriptions.csv"}
    return {name: str(folder / place) for name, place in places.items()} | {
        "dataset": "scenes",
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def expected(scenes: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Tables of one process."""
    [run] = headspan.run_all(MODEL, runs=tmp_path_factory.mktemp("one"), progress=False, **scenes)
    found = tables(run.path)
    assert sum(name.startswith("activations/") for name in found) == PARTS
    return found


def tables(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*.parquet")}


def parts(runs: Path) -> dict[str, tuple[int, int]]:
    """Committed parts, with what changes when one is written again."""
    folder, found = runs / "scenes" / MODEL / "activations", {}
    for path in folder.glob("part-*.parquet"):
        found[path.name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def waited(until: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while not (found := until()):
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.002)
    return found


def with_pid(act: Callable[[], None]) -> None:
    try:
        act()
    except psutil.NoSuchProcess:
        pass


def shards_told(log: list[tuple[str, str, int, int]]) -> list[tuple[int, int]]:
    return [(done, total) for task, unit, done, total in log if (task, unit) == ("extract", "shards")]


def test_eight_shards_give_the_tables_of_one_machine(
    cluster: Any, scenes: dict[str, str], expected: dict[str, bytes], tmp_path: Path, monkeypatch: Any
) -> None:
    log: list[tuple[str, str, int, int]] = []

    def submit(tasks: int) -> Path:
        log.clear()
        found = headspan.submit(
            MODEL,
            tasks=tasks,
            address=cluster[0],
            runs=tmp_path,
            progress=lambda *news: log.append(news),
            **scenes,
        )
        return found[0].path

    run = submit(8)
    assert tables(run) == expected
    assert shards_told(log) == [(done, 8) for done in range(9)]
    assert ("extract", "images", SCENES, SCENES) in log

    # Of two parts that are lost, one shard of ten; the others stay as they are.
    before = parts(tmp_path)
    for part in (3, 13):
        (run / "activations" / f"part-{part:05}.parquet").unlink()
    assert submit(10) == run
    assert shards_told(log) == [(0, 1), (1, 1)]
    assert tables(run) == expected
    after = parts(tmp_path)
    assert {name for name in before if after[name] != before[name]} == {
        "part-00003.parquet",
        "part-00013.parquet",
    }

    # Nothing is missing, so nobody is asked.
    monkeypatch.setitem(_engines.ENGINES, "ray", "no_such_module")
    assert submit(8) == run


def test_the_command_does_what_the_function_does(
    cluster: Any, scenes: dict[str, str], expected: dict[str, bytes], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    flags = [f"--{name}={value}" for name, value in scenes.items()]
    words = ["submit", "ray", MODEL, "--tasks=8", f"--address={cluster[0]}", f"--runs={runs}", "--set=k=9"]

    def command(*more: str) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-m", "headspan", *words, *flags, *more]
        return subprocess.run(call, capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path, check=False)

    wrong = command()
    assert wrong.returncode != 0 and "unknown field `k`" in wrong.stderr and not runs.exists(), wrong.stderr
    words.pop()
    done = command()
    assert done.returncode == 0, done.stderr
    assert tables(runs / "scenes" / MODEL) == expected
    assert MODEL in done.stdout and "association" in done.stdout, done.stdout
    assert "shard 7/8 done on " in done.stderr
    again = json.loads(command("--json").stdout)
    assert [run["model"] for run in again["runs"]] == [MODEL]
    strange = command("--no-such-flag")
    assert strange.returncode == 2, strange.stderr


def test_a_killed_worker_is_replaced(
    cluster: Any, scenes: dict[str, str], expected: dict[str, bytes], tmp_path: Path
) -> None:
    address, head = cluster
    killed: list[tuple[str, dict[str, tuple[int, int]]]] = []

    def kill() -> None:
        waited(lambda: parts(tmp_path))
        name = f"ray::headspan {MODEL} shard "
        for worker in head.children(recursive=True):
            title = " ".join(worker.cmdline())
            if title.startswith(name):
                worker.kill()
                killed.append((title, parts(tmp_path)))
                return

    killer = threading.Thread(target=kill)
    killer.start()
    [run] = headspan.submit(MODEL, tasks=2, address=address, runs=tmp_path, progress=False, **scenes)
    killer.join()
    [(title, before)] = killed
    assert title.split()[-1] in ("0/2", "1/2")
    assert 0 < len(before) < PARTS, "the worker was not in the middle of its shard"
    assert tables(run.path) == expected
    after = parts(tmp_path)
    assert {name: after[name] for name in before} == before, "a committed part was written again"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_the_same_call_continues_where_the_driver_ended(
    cluster: Any, scenes: dict[str, str], expected: dict[str, bytes], tmp_path: Path, end: signal.Signals
) -> None:
    call = {"models": MODEL, "tasks": 2, "address": cluster[0], "runs": str(tmp_path), **scenes}
    with (tmp_path / "driver.log").open("wb") as log:
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, json.dumps(call)], stderr=log, stdout=log)
    waited(lambda: parts(tmp_path) or driver.poll() is not None)
    driver.send_signal(end)
    assert driver.wait(timeout=SECONDS) != 0
    if end == signal.SIGINT:
        assert "KeyboardInterrupt" in (tmp_path / "driver.log").read_text()
    before = parts(tmp_path)
    assert 0 < len(before) < PARTS, "the driver was not in the middle of the work"
    [run] = headspan.submit(**call, progress=False)
    assert tables(run.path) == expected
    after = parts(tmp_path)
    assert {name: after[name] for name in before} == before, "a committed part was written again"


def test_a_shard_fails_with_the_words_of_one_machine(
    cluster: Any, scenes: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    arguments: dict[str, Any] = {
        **scenes,
        "images": str(tmp_path / "photos"),
        "classes": None,
        "strict": True,
    }
    with pytest.raises(headspan.HeadspanError) as alone:
        headspan.run_all(MODEL, runs=tmp_path / "alone", progress=False, **arguments)
    with pytest.raises(headspan.HeadspanError) as shard:
        headspan.submit(
            MODEL, tasks=1, address=cluster[0], runs=tmp_path / "ray", progress=False, **arguments
        )
    assert "broken.png" in alone.value.message
    assert type(shard.value) is type(alone.value)
    assert shard.value.message == f"{MODEL} shard 0/1: {alone.value.message}"
    assert shard.value.hint == alone.value.hint


def shard_of(scenes: dict[str, str], runs: Path) -> _shard.Shard:
    call = _work.Call.of(MODEL, {**scenes, "runs": str(runs), "k": 3, "labeller": "openai"})
    [missing] = _work.missing_of(call)
    return missing.shards(2, 1)[1]


def test_a_locked_shard_may_be_free_later(scenes: dict[str, str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(_shard, "_WAIT_FOR_LOCK_SECS", 0.0)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    shard = shard_of(scenes, tmp_path)
    lock = tmp_path / "scenes" / MODEL / ".shard-1-of-2.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(PassingError, match="another headspan"):
            _shard.extract(shard)
    assert not parts(tmp_path)


def test_what_labels_need_stays_here(scenes: dict[str, str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HEADSPAN__LABEL__OPENAI__BASE_URL", "https://me:secret@host/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    shard = shard_of(scenes, tmp_path)
    assert shard.environment == {"HEADSPAN__IMAGES__PART_ROWS": str(PART_ROWS)}
    assert "secret" not in repr(shard)
    assert not [flag for flag in shard.command if flag.startswith(("--k=", "--labeller"))]
    assert shard.images == sum(PART_ROWS for part in range(PARTS) if part % 2 == 1)


def test_places_become_absolute(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"data": {"classes": "classes.txt", "path_column": "path"}, "texts": {"file": "built-in"}}
    call = _work.Call.of(
        "ViT-B-32", {"images": "photos/{0..9}.tar", "runs": Path("runs"), "settings": settings}
    )
    assert call.arguments["images"] == str(tmp_path / "photos/{0..9}.tar")
    assert call.arguments["runs"] == str(tmp_path / "runs")
    assert call.arguments["settings"]["data"] == {
        "classes": str(tmp_path / "classes.txt"),
        "path_column": "path",
    }
    assert call.arguments["settings"]["texts"] == {"file": "built-in"}
    assert (
        _work.Call.of("ViT-B-32", {"images": "s3://bucket/a.tar"}).arguments["images"] == "s3://bucket/a.tar"
    )


def test_calls_that_cannot_work_are_refused(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"engine": "sun"}, "engine `sun` is not known"),
        ({"tasks": 0}, "tasks is 0"),
        ({"num_gpus": -1}, "num_gpus is -1"),
        ({"image": "photos"}, "`image` is no argument of submit"),
        ({"images": [b"not a path"]}, "in the memory of this program"),
    ]
    for arguments, words in cases:
        with pytest.raises(headspan.InputError, match=words):
            headspan.submit(MODEL, runs=tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_without_ray_or_a_cluster_the_error_says_what_to_do(
    scenes: dict[str, str], tmp_path: Path, monkeypatch: Any
) -> None:
    with pytest.raises(headspan.HeadspanError, match=r"no Ray cluster answers at `127.0.0.1:1`"):
        headspan.submit(MODEL, address="127.0.0.1:1", runs=tmp_path, **scenes)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(headspan.HeadspanError, match="Ray is not installed") as error:
        headspan.submit(MODEL, address="local", runs=tmp_path, **scenes)
    assert error.value.hint is not None and "pip install" in error.value.hint


def test_parts_that_this_machine_does_not_see_are_not_made_again_here(
    scenes: dict[str, str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(_work, "_SHOWN_AFTER_SECS", 0.0)
    shard = shard_of(scenes, tmp_path)
    _shard.extract(shard)
    [missing] = _work.missing_of(_work.Call.of(MODEL, {**scenes, "runs": str(tmp_path)}))
    assert missing.parts == list(range(0, PARTS, 2))
    with pytest.raises(headspan.HeadspanError, match=f"{-(-PARTS // 2)} of {PARTS} parts of `{MODEL}`"):
        missing.wait_until_there()


def test_shards_of_some_minutes_follow_from_the_rate_of_the_last(
    scenes: dict[str, str], tmp_path: Path, monkeypatch: Any
) -> None:
    # Nobody measured the model below this folder.
    with pytest.raises(headspan.InputError, match=f"no rate of `{MODEL}` on processors is known"):
        headspan.submit(MODEL, task_minutes=1, runs=tmp_path, **scenes)
    _shard.extract(shard_of(scenes, tmp_path))
    [missing] = _work.missing_of(_work.Call.of(MODEL, {**scenes, "runs": str(tmp_path)}))
    rate = missing.rates["processors"]
    assert rate is not None and missing.rates["gpus"] is None
    # As many minutes as ten parts take.
    assert missing.count_of_minutes(10.5 * PART_ROWS / rate / 60, False) == -(-PARTS // 10)
    assert missing.count_of_minutes(1e-9, False) == PARTS
    for wrong in ({"task_minutes": 0}, {"task_gigabytes": -1}):
        with pytest.raises(headspan.InputError, match="expected more than 0"):
            headspan.submit(MODEL, runs=tmp_path, **wrong, **scenes)
    with pytest.raises(headspan.InputError, match="only one can be given"):
        headspan.submit(MODEL, runs=tmp_path, task_minutes=5, tasks=3, **scenes)


def test_shards_of_some_gigabytes_follow_from_the_sizes_of_the_files(scenes: dict[str, str], tmp_path: Path) -> None:
    [missing] = _work.missing_of(_work.Call.of(MODEL, {**scenes, "runs": str(tmp_path)}))
    # The images' own bytes, without headers of the tars and without captions.
    size = 0
    for shard in Path(scenes["images"]).rglob("*.tar"):
        with tarfile.open(shard) as tar:
            size += sum(member.size for member in tar if member.name.endswith(".png"))
    assert size > 0 and missing.image_bytes == size
    assert missing.count_of_gigabytes(size / 1e9) == 1
    assert missing.count_of_gigabytes(size / 3e9) == 3
    assert missing.count_of_gigabytes(1e-12) == PARTS


def test_the_number_of_shards_follows_from_parts_and_machines() -> None:
    assert _engines._count(75, 2, False) == 5
    assert _engines._count(75, 100, False) == 75
    assert _engines._count(3, 2, False) == 2
    assert _engines._count(1000, 2, True) == 8

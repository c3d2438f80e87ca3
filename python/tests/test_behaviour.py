"""Errors, progress, Ctrl-C, threads, forks, and what an import costs."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import headspan


def test_errors_have_the_words_and_hints_of_the_command_line(run, runs, tmp_path):
    with pytest.raises(headspan.NotFoundError, match="L9.H9"):
        run.select("L9.H9")
    with pytest.raises(headspan.NotFoundError) as raised:
        run.select("colours")
    assert raised.value.hint == "did you mean `colors`?"
    with pytest.raises(headspan.InputError, match="8 heads, not one"):
        run["L3"]
    with pytest.raises(headspan.NotFoundError):
        headspan.open(tmp_path / "no-run")
    with pytest.raises(headspan.NotFoundError, match="nowhere"):
        headspan.run_all("scenes-4", images=tmp_path / "nowhere", runs=tmp_path, progress=False)
    with pytest.raises(headspan.InputError, match="textspan.rnak") as raised:
        headspan.plan(runs=runs, settings={"textspan": {"rnak": 3}})
    with pytest.raises(headspan.InputError, match="kk"):
        headspan.plan(runs=runs, kk=3)
    with pytest.raises(headspan.InputError, match="--k"):
        headspan.run_all(runs=runs, k=0, progress=False)
    with pytest.raises(headspan.InputError, match="empty"):
        run.embed("  ")
    with pytest.raises(headspan.InputError, match="one of an image and a text"):
        run.neighbours()
    with pytest.raises(headspan.InputError, match="float64"):
        run.neighbours(np.zeros((4, 4, 3)))
    for error in (headspan.InputError("a", "b"), headspan.NotFoundError("a")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.message, again.hint) == (type(error), error.message, error.hint)
    assert issubclass(headspan.InputError, ValueError) and issubclass(headspan.NotFoundError, LookupError)


def test_progress_is_told(tmp_path):
    told = []
    headspan.run_all("scenes-4", images=_some(tmp_path), runs=tmp_path / "runs", texts=["a dog", "a cat"], k=1,
                     progress=lambda *news: told.append(news))
    tasks = {task: (unit, done, total) for task, unit, done, total in told}
    assert tasks["scenes-4 images"] == ("images", 4, 4) and tasks["scenes-4 textspan"] == ("heads", 32, 32)


def test_an_error_of_a_progress_function_stops_the_run_and_is_raised(tmp_path):
    def fail(*_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        headspan.run_all("scenes-4", images=_some(tmp_path), runs=tmp_path / "runs", texts=["a dog"], progress=fail)


def test_the_log_is_pythons(tmp_path, caplog):
    (tmp_path / "pictures").mkdir()
    _some(tmp_path)
    (tmp_path / "pictures" / "notes.txt").write_text("no image")
    with caplog.at_level(logging.INFO):
        headspan.run_all("scenes-4", images=tmp_path / "pictures", runs=tmp_path / "runs", texts=["a dog"], progress=False)
    passed_over = [record for record in caplog.records if ".txt" in record.getMessage()]
    assert passed_over and passed_over[0].levelno == logging.WARNING and passed_over[0].name.startswith("headspan")


def test_ctrl_c_ends_a_run_cleanly_and_the_next_call_continues(tmp_path):
    script = textwrap.dedent(
        """
        import sys, headspan
        seen = []
        def told(task, unit, done, total):
            if "images" in task and done > 0 and not seen:
                seen.append(done)
                print("begun", flush=True)
        try:
            headspan.run_all(runs=sys.argv[1], batch_size=8, settings={"images": {"part_rows": 64}}, progress=told)
            print("finished")
        except KeyboardInterrupt:
            print("interrupted")
            # The interpreter goes on.
            print(len(headspan.status(runs=sys.argv[1])))
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and rest.splitlines()[0] in ("interrupted", "finished")
    if rest.splitlines()[0] == "interrupted":
        assert not list(tmp_path.rglob("*.tmp*"))
    found = headspan.run_all(runs=tmp_path, batch_size=8, settings={"images": {"part_rows": 64}}, progress=False)
    assert len(found) == 2


def test_other_threads_go_on_while_a_run_computes(tmp_path):
    turns, stop = [0], threading.Event()

    def count():
        while not stop.wait(0.001):
            turns[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    headspan.run_all("scenes-4", images=_some(tmp_path), runs=tmp_path / "runs", texts=["a dog"], progress=False)
    stop.set()
    thread.join()
    # Were the lock held, the thread would not have had a turn but before and after.
    assert turns[0] > 5


def test_threads_may_share_a_run(run):
    found = [None] * 8

    def ask(number):
        found[number] = run["L3.H1"].neighbours(number, k=3).pl()["image_id"].to_list()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [run["L3.H1"].neighbours(number, k=3).pl()["image_id"].to_list() for number in range(8)]


def _forked(queue):
    try:
        headspan.models()
        queue.put("computed")
    except headspan.HeadspanError as error:
        queue.put(error.message)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_of_a_process_that_computed_is_told_so(run):
    assert len(run) == 32
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_forked, args=(queue,))
    process.start()
    assert "forked" in queue.get(timeout=60)
    process.join()


def test_a_fork_of_a_process_that_only_imported_computes(tmp_path):
    script = textwrap.dedent(
        """
        import os, sys, headspan
        child = os.fork()
        if child == 0:
            headspan.models()
            headspan.status(runs=sys.argv[1])
            os._exit(0)
        _, code = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(code))
        """
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60).returncode == 0


def test_an_import_loads_neither_numpy_nor_torch():
    script = "import sys, headspan; print([name for name in ('numpy', 'torch', 'polars') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


def test_arrays_are_the_memory_of_the_run_and_read_only(run):
    one, two = run["L3.H1"].activations(), run["L3.H1"].activations()
    assert one.ctypes.data == two.ctypes.data and not one.flags.writeable and one.dtype == np.float32
    assert one.shape == (2000, 16)


def test_an_array_outlives_the_run(runs):
    kept = headspan.open(runs / "scenes/scenes-6")["L5.H0"].activations()
    copy = kept.copy()
    for _ in range(3):
        headspan.open(runs / "scenes/scenes-6")["L4.H0"].activations()
    assert np.array_equal(kept, copy)


def test_exit_codes_of_the_console_script(runs):
    def code(*arguments):
        return subprocess.run([sys.executable, "-m", "headspan", *arguments], capture_output=True).returncode

    assert [code("--version"), code("no-such-command"), code("status", "--runs", str(runs / "x.y" / "z"))] == [0, 2, 0]


def _some(folder):
    """Four pictures."""
    from PIL import Image

    place = folder / "pictures"
    place.mkdir(exist_ok=True)
    for number in range(4):
        Image.new("RGB", (30 + number, 30), (60 * number, 10, 200)).save(place / f"{number}.png")
    return place

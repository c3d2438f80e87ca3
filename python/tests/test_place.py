"""Places that are paths, and addresses of stores."""

from __future__ import annotations

from pathlib import Path

import headspan
import pytest
from headspan._engines._shard import may_pass, wait_for_lock
from headspan._engines._work import Call
from headspan._place import below, parts_of_run, place_of


def test_addresses_keep_their_slashes():
    assert place_of("s3://lab/runs") == "s3://lab/runs" and place_of("runs") == Path("runs")
    assert below("s3://lab/runs/", "d", "m") == "s3://lab/runs/d/m" and below("runs", "d", "m") == Path("runs/d/m")
    assert parts_of_run("s3://lab/some/runs/d/m") == ("s3://lab/some/runs", "d", "m")
    assert parts_of_run(Path("/some/runs/d/m")) == ("/some/runs", "d", "m")


def test_lists_are_refused_where_no_node_would_see_them():
    with pytest.raises(headspan.InputError, match="no node sees"):
        Call.of("m", {"texts": ["a dog"], "images": "s3://lab/images", "runs": "s3://lab/runs"})


def test_tasks_wait_for_leases():
    assert wait_for_lock(["extract", "m", "--runs=s3://lab/runs"]) > 90
    assert wait_for_lock(["extract", "m", "--runs=/runs"]) == 30
    assert may_pass(headspan.HeadspanError("`s3://lab/runs/d/m/parts/x.parquet` cannot be reached"))
    assert may_pass(headspan.HeadspanError("another headspan (process 7 on node-3) is working on `s3://lab/runs/d/m/.locks/run`"))
    assert not may_pass(headspan.HeadspanError("`/runs` cannot be opened"))

"""What people say of a run in the explorer, read in Python."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path

import polars as pl

import headspan


def test_a_judge_is_read_listed_and_compared(run, answer):
    assert run.notes.pl().is_empty()
    with run.explore() as explorer:
        place = f"{explorer.url.rstrip('/')}/r/scenes/scenes-4/review"
        for value in ["1", "0", "1", "0", "u"]:
            with urllib.request.urlopen(f"{place}.json?as=anna") as asked:
                asked = json.load(asked)["asked"]
            text, head = asked["texts"][asked["pick"]]["text"], "L{layer}.H{head}".format(**asked["head"])
            form = {"as": "anna", "head": head, "property": asked["property"], "pick": asked["pick"], "text": text, "value": value}
            with urllib.request.urlopen(f"{place}.json", urllib.parse.urlencode(form).encode()) as saved:
                assert json.load(saved)["conflict"] is False
    try:
        notes = run.notes.pl()
        assert notes["value"].to_list() == [row["value"] for row in answer("notes", "scenes-4")]
        assert notes.filter(pl.col("kind") == "judgement").height == 5 and not notes["older"].any()
        found = headspan.agreement(run)
        row = next(row for row in found.agreements if row["about"] == "texts")
        assert row["labellers"] == ["anna", "lexicon"] and row["n"] == 4 and "anna, lexicon" in repr(found)
        theirs = answer("review", "scenes-4", "--table")
        assert found.agreements == theirs["agreements"] and found.associations == theirs["associations"]
    finally:
        Path(run.path, "notes.parquet").unlink()

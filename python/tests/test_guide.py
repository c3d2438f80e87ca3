"""The code of docs/python.md, from top to bottom on the demo."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

# In a checkout, or beside a copy of the tests.
PLACES = [folder / "docs" / "python.md" for folder in Path(__file__).resolve().parents[1:3]]


def blocks(text: str) -> list[str]:
    """Blocks of Python, but for those that need what is not here."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose() -> str:
    found = next((place for place in PLACES if place.exists()), None)
    if found is None:
        pytest.skip("docs/python.md is not beside the tests")
    return found.read_text(encoding="utf-8").partition("\n## Reference")[0]


def test_questions_take_three_lines_at_most() -> None:
    questions = prose().partition("\n## Questions")[2].partition("\n## Tables")[0]
    found = blocks(questions)
    assert len(found) > 10
    for block in found:
        assert len(block.splitlines()) <= 3, block


def test_the_code_of_the_guide_runs(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("matplotlib", "polars", "PIL"):
        pytest.importorskip(package)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs, tmp_path / "runs")
    names: dict[str, object] = {}
    for block in blocks(prose()):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "both.png").exists()

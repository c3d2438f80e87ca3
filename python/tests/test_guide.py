"""The code of docs/python.md, from top to bottom on the demo."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "python.md"


def blocks(text: str) -> list[str]:
    """Blocks of Python, but for those that need what is not here."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose() -> str:
    return GUIDE.read_text(encoding="utf-8").partition("\n## Reference")[0]


def test_questions_take_three_lines_at_most() -> None:
    questions = prose().partition("\n## Questions")[2].partition("\n## Tables")[0]
    found = blocks(questions)
    assert len(found) > 10
    for block in found:
        assert len(block.splitlines()) <= 3, block


def test_the_code_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("matplotlib", "polars", "PIL"):
        pytest.importorskip(package)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    if kept := os.environ.get("HEADSPAN_DEMO_RUNS"):
        shutil.copytree(kept, tmp_path / "runs")
    names: dict[str, object] = {}
    for block in blocks(prose()):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "both.png").exists()

"""The README's code for the package, on the demo's files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import headspan

# In a checkout, or beside a copy of the tests.
PLACES = [folder / "README.md" for folder in Path(__file__).resolve().parents[1:3]]


def test_the_code_of_the_readme_runs(run: headspan.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("matplotlib", "polars"):
        pytest.importorskip(package)
    readme = next((place for place in PLACES if place.exists()), None)
    if readme is None:
        pytest.skip("README.md is not beside the tests")
    found = re.findall(r"^```python\n(.*?)^```", readme.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    code = [block for block in found if "import headspan" in block]
    assert len(code) == 1

    made = json.loads((Path(run.path) / "stages" / "images.json").read_text(encoding="utf-8"))["provenance"]
    (tmp_path / "my-clip").symlink_to(made["checkpoint"])
    photos = tmp_path / "my-photos"
    photos.mkdir()
    import polars

    rows = polars.read_parquet(min(Path(made["data"]["path"]).glob("*.parquet")), columns=["image"]).head(40)
    for number, image in enumerate(rows["image"]):
        content = image["bytes"] if isinstance(image, dict) else image
        (photos / f"{number:03}.png").write_bytes(content)
    stand_ins = {"L11.H3": "L3.H1", "cats/1.jpg": min(photos.iterdir()).name, '"animals"': '"all"'}
    for text, stand_in in stand_ins.items():
        assert text in code[0]
        code[0] = code[0].replace(text, stand_in)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code[0], "README.md", "exec"), names)
    assert isinstance(names["head"], headspan.Head)

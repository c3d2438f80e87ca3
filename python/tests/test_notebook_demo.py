"""What notebooks show of real runs, and of runs whose images have moved."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import pytest
from test_html import checked

import headspan

WAYS = ["run", "head", "frame", "neighbours", "extremes", "segmentation", "why", "alike"]


def answer(run: headspan.Run, way: str) -> object:
    head = run["L3.H5"]
    if way == "run":
        return run
    if way == "head":
        return head
    if way == "frame":
        return run.textspan
    if way == "neighbours":
        return head.neighbours(12)
    if way == "extremes":
        return head.extremes(k=4)
    if way == "segmentation":
        return run.segment(12, ["a boat", "the sea"])
    return run.why(12, 299, heads="L3.H5") if way == "why" else head.alike()


@pytest.mark.parametrize("way", WAYS)
def test_answers_of_real_runs_are_well_formed(demo: list[headspan.Run], way: str) -> None:
    html = answer(demo[0], way)._repr_html_()  # type: ignore[attr-defined]
    read = checked(html)
    images = [tag for tag, _ in read.tags if tag == "img"]
    expected = {"neighbours": 8, "extremes": 12, "segmentation": 3, "why": 2}
    assert len(images) == expected.get(way, 0)
    assert "cannot be" not in read.text and len(html) < 300_000


def test_a_run_shows_its_heads_labels_and_scores(demo: list[headspan.Run]) -> None:
    text = checked(demo[0]._repr_html_()).text
    for shown in (
        "scenes/scenes-4",
        "32 heads",
        "L3.H7",
        "backgrounds",
        "entanglement ↓ 0.812",
        "association ↑ 0.656",
    ):
        assert shown in text


def test_a_head_shows_its_texts_in_order(demo: list[headspan.Run]) -> None:
    head = demo[0]["L3.H5"]
    text = checked(head._repr_html_()).text
    places = [text.index(one) for one in head.texts[:10]]
    assert places == sorted(places)


@pytest.mark.parametrize("way", ["neighbours", "extremes"])
def test_images_that_have_moved_are_placeholders(demo: list[headspan.Run], tmp_path: Path, way: str) -> None:
    images = demo[0].path.parents[1] / ".built-in" / "scenes" / "images"
    moved, runs = tmp_path / "moved", tmp_path / "runs"
    shutil.copytree(images, moved)
    shutil.copytree(demo[0].path, runs / "scenes" / "scenes-4")
    run = headspan.open(runs / "scenes" / "scenes-4", checkpoint=demo[0].checkpoint, images=moved)
    found = answer(run, way)
    # Not opened before: the images are gone when they are first needed.
    shutil.rmtree(moved)
    read = checked(found._repr_html_())  # type: ignore[attr-defined]
    assert "img" not in {tag for tag, _ in read.tags}
    assert read.text.count("cannot be read") == {"neighbours": 8, "extremes": 12}[way]
    assert "part-0000" in read.text


def test_a_comparison_shows_both_models(demo: list[headspan.Run]) -> None:
    backwards = [demo[1], demo[0]]
    assert [row["model"] for row in headspan.compare(backwards).rows] == ["scenes-6", "scenes-4"]
    text = checked(headspan.compare(demo)._repr_html_()).text
    assert "scenes-4" in text and "scenes-6" in text and "0.812 (0.797–0.859)" in text


def test_images_of_the_program_are_shown_as_long_as_the_run_is_there(
    demo: list[headspan.Run], tmp_path: Path
) -> None:
    photos = [demo[0].image(index) for index in range(20)]
    arguments = {"checkpoint": demo[0].checkpoint, "dataset": "mine", "runs": tmp_path, "progress": False}
    [run] = headspan.run_all(images=photos, **arguments)
    # The same images, held a second time and given up.
    headspan.run_all(images=photos, **arguments)
    gc.collect()
    assert "cannot be read" not in checked(run.neighbours(3)._repr_html_()).text
    assert (run.pixels(3) == demo[0].pixels(3)).all()
    path = run.path
    del run
    gc.collect()
    shown = checked(headspan.open(path).neighbours(3)._repr_html_()).text
    assert shown.count("cannot be read") == 8

"""Images and texts of a program as inputs, settings as arguments."""

from __future__ import annotations

import gc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

import headspan

COUNT = 6


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Small pictures of noise, each another."""
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(COUNT)]


@pytest.fixture(scope="module")
def files(pictures, tmp_path_factory):
    """The same pictures as files."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number}.png" for number in range(COUNT)]
    for picture, path in zip(pictures, paths):
        picture.save(path)
    return paths


@pytest.fixture
def once(runs, tmp_path):
    """Runs the demo's model over some images."""

    def call(images, **named):
        named = {"texts": ["a dog", "a cat", "a red thing"], "k": 2, **named}
        run, = headspan.run_all("scenes-4", images=images, runs=tmp_path, progress=False, **named)
        return run

    return call


def activations(run: headspan.Run) -> np.ndarray:
    return run["L3.H1"].activations()


@pytest.fixture
def expected(once, files):
    """What a folder of the files gives."""
    return activations(once(files[0].parent, dataset="folder"))


def test_lists_of_paths_and_frames(once, files, expected):
    classes = [str(number % 2) for number in range(COUNT)]
    for number, images in enumerate((
        files,
        [str(path) for path in files],
        pl.DataFrame({"path": [str(path) for path in files], "class": classes}),
        pd.DataFrame({"path": [str(path) for path in files], "class": classes}),
    )):
        run = once(images, dataset=f"paths-{number}")
        assert np.array_equal(activations(run), expected)
        assert run.images.pl()["class_id"].to_list() == (classes if number >= 2 else [None] * COUNT)


def test_pictures_in_memory(once, pictures, expected):
    for number, images in enumerate((pictures, [np.asarray(picture) for picture in pictures], iter(pictures))):
        run = once(images, dataset=f"pictures-{number}")
        assert np.array_equal(activations(run), expected)


def test_a_dataset_of_hugging_face(once, files, expected):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["even", "odd"])})
    columns = {"image": [str(path) for path in files], "label": [number % 2 for number in range(COUNT)]}
    run = once(datasets.Dataset.from_dict(columns, features=features), dataset="hugging-face")
    assert np.array_equal(activations(run), expected)
    assert run.images.pl()["class_id"].to_list() == ["even", "odd"] * (COUNT // 2)


def test_a_dataset_of_torch(once, pictures, expected):
    torch = pytest.importorskip("torch")

    class Pairs(torch.utils.data.Dataset):
        classes, targets = ["even", "odd"], [number % 2 for number in range(COUNT)]

        def __len__(self):
            return COUNT

        def __getitem__(self, index):
            return pictures[index], self.targets[index]

    run = once(Pairs(), dataset="torch")
    assert np.array_equal(activations(run), expected)
    assert run.images.pl()["class_id"].to_list() == ["even", "odd"] * (COUNT // 2)


def test_tensors_are_refused_with_a_hint(once):
    torch = pytest.importorskip("torch")
    with pytest.raises(headspan.InputError, match="tensor") as raised:
        once([torch.zeros(3, 8, 8)], dataset="tensors")
    assert "without its transform" in raised.value.hint


def test_an_image_that_cannot_be_given_is_skipped_and_named(once, pictures):
    class Broken(list):
        def __getitem__(self, index):
            if index == 2:
                raise RuntimeError("this one is gone")
            return super().__getitem__(index)

    broken = Broken(pictures)
    # Its identity samples all of so few images.
    with pytest.raises(RuntimeError, match="gone"):
        once(broken, dataset="broken")


def test_other_pictures_of_the_same_number_run_again(once, pictures):
    first = activations(once(pictures, dataset="changed")).copy()
    second = activations(once(pictures[::-1], dataset="changed"))
    assert np.array_equal(first, second[::-1]) and not np.array_equal(first, second)


def test_pictures_are_asked_for_again_where_they_are_needed(once, pictures):
    run = once(pictures, dataset="gone")
    assert run.image(0).size == (50, 40), "the run holds them"
    path = run.path
    del run
    gc.collect()
    again = headspan.open(path)
    assert again["L3.H1"].neighbours(0, k=2).pl().height == 2
    with pytest.raises(headspan.HeadspanError, match="handed over"):
        again.image(0)


def test_arguments_are_settings(once, files, tmp_path):
    run = once(files, dataset="set", settings={"textspan": {"texts": 1}, "images": {"part_rows": 4}}, k=None, layers=[3])
    assert run.textspan.pl()["pick"].unique().to_list() == [0]
    assert {head.layer for head in run} == {3}
    assert len(list((run.path / "activations").glob("part-*.parquet"))) == 2


def test_texts_of_a_program_are_the_pool(once, files):
    run = once(files, dataset="texts", texts=["one, with a comma", 'two "quoted"', "three"])
    assert run.texts.pl()["text"].to_list() == ["one, with a comma", 'two "quoted"', "three"]
    with pytest.raises(headspan.InputError, match="line of text"):
        once(files, texts=["two\nlines"])

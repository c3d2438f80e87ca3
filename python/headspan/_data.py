"""Images and texts of a program as inputs of the pipeline, without writing images first.

Paths become a small manifest. Everything else is handed over in memory and read one image at a time while the pipeline runs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Union

from headspan import _native
from headspan._errors import InputError
from headspan._images import picture
from headspan._place import is_address

PathLike = Union[str, os.PathLike[str]]
#: A path, a list of paths or of PIL images or of arrays, a frame with a column ``path`` (and ``class``), a ``datasets.Dataset``,
#: or a torch ``Dataset`` of images or of pairs (image, class).
ImagesLike = Any
Encoded = Union[bytes, tuple[int, int, bytes]]

# So many images, spread evenly, tell a data set from another of the same ids.
_SAMPLED = 64


class Held:
    """Images that are handed over under a name for as long as somebody holds this."""

    _holders: ClassVar[Counter[str]] = Counter()

    def __init__(self, name: str, given: _Objects) -> None:
        _native.hand_over(name, given.items, given.identity, given.read)
        # The same images have the same name, and may be held twice.
        self._holders[name] += 1
        weakref.finalize(self, self._released, name)

    @classmethod
    def _released(cls, name: str) -> None:
        cls._holders[name] -= 1
        if cls._holders[name] <= 0:
            del cls._holders[name]
            _native.take_back(name)


@contextmanager
def handed_over(
    images: Any, texts: Any, runs: PathLike
) -> Iterator[tuple[PathLike | None, PathLike | None, Held | None]]:
    """Images and texts as places that the pipeline reads, while the context lasts or the third is held."""
    pool = texts if texts is None or isinstance(texts, (str, os.PathLike)) else _pool(texts, runs)
    if images is None or isinstance(images, (str, os.PathLike)):
        yield images, pool, None
        return
    paths = _paths(images)
    if paths is not None:
        yield _manifest(paths, runs), pool, None
        return
    given = _objects(images)
    name = hashlib.sha256(given.identity.encode()).hexdigest()[:16]
    held = Held(name, given)
    yield f"memory://{name}", pool, held


@dataclass(frozen=True)
class _Objects:
    items: list[tuple[str, str | None]]
    identity: str
    read: Callable[[int], Encoded]


def _pool(texts: Iterable[Any], runs: PathLike) -> Path:
    """A pool of descriptions, one a line. The file is named by its content, so that the same texts are the same pool."""
    lines = list(texts)
    for number, text in enumerate(lines):
        if not isinstance(text, str) or "\n" in text or "\r" in text:
            raise InputError(f"text {number} is {text!r}, expected a line of text")
    return _kept(runs, "texts", "txt", "".join(f"{text}\n" for text in lines))


def _paths(images: Any) -> list[tuple[str, str | None]] | None:
    """Paths with classes, of a list of paths or of a frame with a column of them."""
    columns = getattr(images, "columns", None)
    if columns is not None and not hasattr(images, "features"):
        names = [str(name) for name in columns]
        if "path" not in names:
            raise InputError(f"the frame has no column `path`; it has {', '.join(names)}")
        classes = [None if one is None else str(one) for one in images["class"]] if "class" in names else None
        paths = [os.fspath(path) for path in images["path"]]
        return list(zip(paths, classes or [None] * len(paths)))
    if isinstance(images, (list, tuple)) and images and all(isinstance(one, (str, os.PathLike)) for one in images):
        return [(os.fspath(path), None) for path in images]
    return None


def _manifest(paths: Sequence[tuple[str, str | None]], runs: PathLike) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    with_classes = any(one is not None for _, one in paths)
    writer.writerow(["path", "class"] if with_classes else ["path"])
    for path, one in paths:
        whole = os.path.abspath(path)
        writer.writerow([whole, one or ""] if with_classes else [whole])
    return _kept(runs, "images", "csv", text.getvalue())


def _kept(runs: PathLike, what: str, ending: str, text: str) -> Path:
    """A file named by its content: below the folder of runs, or in the user's cache if runs lie in a store."""
    data = text.encode()
    folder = Path(_native.built_in_folder(runs)).with_name("python" if is_address(runs) else ".python")
    place = folder / f"{what}-{hashlib.sha256(data).hexdigest()[:16]}.{ending}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        beside.write_bytes(data)
        os.replace(beside, place)
    return place


def _objects(images: Any) -> _Objects:
    if hasattr(images, "features") and hasattr(images, "cast_column"):
        return _of_hugging_face(images)
    if not hasattr(images, "__getitem__") or not hasattr(images, "__len__"):
        if hasattr(images, "__iter__") and not isinstance(images, (bytes, bytearray)):
            images = list(images)
        else:
            raise InputError(f"{type(images).__name__} is neither a path nor images")
    return _of_sequence(images)


def _of_hugging_face(images: Any) -> _Objects:
    """A ``datasets.Dataset``: its bytes as they are stored, never decoded here."""
    features = images.features
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    columns = [name for name, kind in kinds.items() if kind == "Image"]
    if len(columns) != 1:
        found = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise InputError(f"the dataset has {len(columns)} columns of images, expected one; it has {found}")
    (column,) = columns
    labels = next((name for name, kind in kinds.items() if kind == "ClassLabel"), None)
    classes: list[str | None] = [None] * len(images)
    if labels is not None:
        named = features[labels].names
        classes = [None if one is None or one < 0 else named[one] for one in images[labels]]
    decoder = type(features[column])
    stored = images.select_columns([column]).cast_column(column, decoder(decode=False))

    def read(index: int) -> Encoded:
        cell = stored[index][column]
        if cell is None:
            raise InputError("the row holds no image")
        if cell.get("bytes") is not None:
            return bytes(cell["bytes"])
        return Path(cell["path"]).read_bytes()

    items = [(str(index), one) for index, one in enumerate(classes)]
    mark = str(getattr(images, "_fingerprint", ""))
    return _Objects(items, _identity(len(items), read, mark), read)


def _of_sequence(images: Any) -> _Objects:
    """A list of images, or a torch ``Dataset`` of images or of pairs (image, class)."""
    count = len(images)
    targets, named = getattr(images, "targets", None), getattr(images, "classes", None)
    classes: list[str | None] = [None] * count
    if targets is not None and len(targets) == count:
        classes = [str(named[int(one)]) if named is not None else str(int(one)) for one in targets]

    def read(index: int) -> Encoded:
        one = images[index]
        return _encoded(one[0] if isinstance(one, tuple) and len(one) == 2 else one)

    items = [(str(index), one) for index, one in enumerate(classes)]
    return _Objects(items, _identity(count, read, type(images).__name__), read)


def _encoded(image: Any) -> Encoded:
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, (str, os.PathLike)):
        return Path(image).read_bytes()
    if type(image).__module__.split(".")[0] == "torch":
        raise InputError(
            "an image is a tensor, whose normalisation headspan does not know",
            "hand the dataset over without its transform: headspan resizes and normalises as the model wants",
        )
    kind, value = picture(image)
    if kind != "pixels":
        raise InputError(f"{image!r} is not an image")
    pixels: tuple[int, int, bytes] = value
    return pixels


def _identity(count: int, read: Callable[[int], Encoded], mark: str) -> str:
    """What tells these images from others: how many there are, and the bytes of some of them."""
    hasher = hashlib.sha256(f"{mark} {count}".encode())
    for place in sorted({place * count // _SAMPLED for place in range(_SAMPLED)}) if count else ():
        one = read(place)
        hasher.update(one if isinstance(one, bytes) else f"{one[0]} {one[1]}".encode() + one[2])
    return hasher.hexdigest()

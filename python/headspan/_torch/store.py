"""Writes a checkpoint folder whole, or not at all, and never twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from .architecture import OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG, TRANSFORMERS_PREPROCESSOR
from .errors import FolderInUse, TorchInputError
from .modules import to_float32

WEIGHTS = "open_clip_model.safetensors"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
#: Name of the weights of a checkpoint of transformers or timm.
LIBRARY_WEIGHTS = "model.safetensors"

TEMPORARY = ".headspan-tmp"
DAY = 24 * 60 * 60

#: Endings of files that may be weights.
ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")

#: The one key of the weights' metadata; several would be written in no fixed order.
CONTENT_KEY = "headspan_content"


def content_hash(tensors: Mapping[str, Tensor], files: Mapping[str, bytes]) -> str:
    """SHA-256 of the weights as float32 and of the other files."""
    total = hashlib.sha256(b"headspan checkpoint 1\n")
    for name, content in sorted(files.items()):
        total.update(f"{name} {len(content)}\n".encode())
        total.update(content)
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {list(tensor.shape)}\n".encode())
        total.update(to_float32(tensor).reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def cache_folder() -> Path:
    """Where folders of models in memory go: `$XDG_CACHE_HOME/headspan/checkpoints`, else below `~/.cache`."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(caches) / "headspan" / "checkpoints"


def check_name(name: str) -> str:
    """A name that can be a folder's and a model id."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+@-]*", name):
        raise TorchInputError(
            f"`{name}` cannot be a model id: letters, digits, `.`, `_`, `+`, `@` and `-` can be in one"
        )
    return name


def write(
    folder: Path,
    tensors: Mapping[str, Tensor],
    files: Mapping[str, bytes],
    content: str,
    weights_name: str = WEIGHTS,
    written: Path | None = None,
) -> bool:
    """Writes the files and, last, the weights, each under a temporary name first.

    False if the folder holds them already. A folder without weights is one that was not finished. A folder
    with other files of a checkpoint is an error: nothing is overwritten. `written` is a file of the same
    weights on the same file system, which is moved.
    """
    weights = folder / weights_name
    refuse_other_checkpoint(folder, files, content, weights_name)
    missing = [name for name in files if not (folder / name).is_file()]
    if weights.is_file() and not missing:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    _remove_old_temporaries(folder)
    for name in missing:
        with _replacing(folder / name) as temporary:
            temporary.write_bytes(files[name])
    if not weights.is_file():
        if written is not None:
            written.replace(weights)
        else:
            write_weights(weights, tensors, content)
    return True


def write_weights(path: Path, tensors: Mapping[str, Tensor], content: str) -> None:
    """Writes tensors as float32 with the hash of the content, under a temporary name first."""
    from safetensors.torch import save_file

    with _replacing(path) as temporary:
        # Some versions of safetensors make a file that only its owner may read; this one has the rights of
        # any new file.
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(_unshared(tensors), temporary, metadata={CONTENT_KEY: content})
        temporary.chmod(mode)


def linked(weights: Path, name: Path) -> bool:
    """Gives finished weights a second name in a scratch folder; False if there are none, or no links."""
    try:
        os.link(weights, name)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty folder on the file system of `folder`, which need not be there; removed afterwards."""
    place = next(parent for parent in folder.parents if parent.is_dir())
    for old in place.glob(f".*{TEMPORARY}.d"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > DAY:
                shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".headspan-", suffix=f"{TEMPORARY}.d", dir=place) as name:
        yield Path(name)


def refuse_other_checkpoint(
    folder: Path, files: Mapping[str, bytes], content: str, weights_name: str = WEIGHTS
) -> None:
    """An error if the folder holds anything that would be read as another checkpoint."""
    if folder.exists() and not folder.is_dir():
        raise FolderInUse(f"`{folder}` is a file, expected a folder")
    if not folder.is_dir():
        return
    weights = folder / weights_name
    visible = [path for path in folder.iterdir() if path.name[0] != "."]
    others = [path.name for path in visible if path.suffix in ENDINGS and path != weights]
    if weights.is_file() and stored_content(weights) != content:
        others.append(weights_name)
    # Of a finished checkpoint the tokenizer may have been added; of one that was not finished, nothing else
    # may be there that would be read as part of it.
    mine = (
        files
        if weights.is_file()
        else {OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG, TRANSFORMERS_PREPROCESSOR, TOKENIZER, TOKENIZER_CONFIG}
    )
    found = [folder / name for name in sorted(mine) if (folder / name).is_file()]
    others += [path.name for path in found if path.read_bytes() != files.get(path.name)]
    if others:
        raise FolderInUse(
            f"`{folder}` holds another checkpoint, or a part of one (`{others[0]}`)",
            "choose another folder, or remove that file; without `folder` headspan chooses one by the model's"
            " content",
        )


def stored_content(weights: Path) -> str | None:
    """The content hash that a file of weights carries."""
    try:
        with weights.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        stored = header.get("__metadata__", {}).get(CONTENT_KEY)
    except (OSError, ValueError, OverflowError, MemoryError):
        return None
    return stored if isinstance(stored, str) else None


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, whose file takes its place once it is whole and on the disk."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _remove_old_temporaries(folder: Path) -> None:
    """What killed processes left; a file of today may be one that another process is writing."""
    for path in folder.glob(f".*{TEMPORARY}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > DAY:
                path.unlink()


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Float32 tensors on the CPU with a storage each, as safetensors requires."""
    taken: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        value = to_float32(tensor)
        storage = value.untyped_storage()
        if storage.data_ptr() in taken or storage.nbytes() != value.numel() * value.element_size():
            value = value.clone()
        taken.add(value.untyped_storage().data_ptr())
        own[name] = value
    return own

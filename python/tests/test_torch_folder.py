"""Folders are written whole or not at all, once for each content."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
open_clip = pytest.importorskip("open_clip", reason="OpenCLIP is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

import torch_models as models

from headspan._torch import FolderInUse, TokenizerMismatch, from_open_clip, from_transformers, run_module
from headspan._torch.architecture import Text
from headspan._torch.store import stored_content
from headspan._torch.tokenizer import tokenizer_json

WEIGHTS = "open_clip_model.safetensors"
CLIP_TEXT = Text(context_length=77, vocab_size=49408, width=16, heads=2, layers=2, mlp_width=64, eps=1e-5)
TEXTS = [
    "a photo of a cat",
    "It's 24x <end_of_text>!? été",
    "naïve   CAFÉ\n2024",
    "日本語 emoji 🙂",
    "don't I'll",
]


def written(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_the_same_model_gives_the_same_folder_and_nothing_is_written_twice(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = from_open_clip(models.open_clip_model(True), models.word_tokenizer())
    assert tmp_path in first.path.parents and first.path.name == first.name
    before = written(first.path)
    second = from_open_clip(models.open_clip_model(True), models.word_tokenizer())
    assert second == first and second.checked and written(first.path) == before
    assert sorted(before) == ["open_clip_config.json", WEIGHTS, "tokenizer.json"]

    other = models.open_clip_model(True)
    with torch.no_grad():
        other.visual.proj[0, 0] += 1e-3
    assert from_open_clip(other, models.word_tokenizer()).path != first.path
    assert from_open_clip(models.open_clip_model(False), models.word_tokenizer()).path != first.path


def test_a_given_folder_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    from_open_clip(models.open_clip_model(True), folder=folder)
    before = written(folder)
    assert from_open_clip(models.open_clip_model(True), folder=folder).path == folder
    assert written(folder) == before
    with pytest.raises(FolderInUse, match="another checkpoint"):
        from_open_clip(models.open_clip_model(False), folder=folder)
    assert written(folder) == before
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "pytorch_model.bin").write_bytes(b"weights")
    with pytest.raises(FolderInUse, match=r"pytorch_model\.bin"):
        from_open_clip(models.open_clip_model(False), folder=theirs)
    assert [path.name for path in theirs.iterdir()] == ["pytorch_model.bin"]
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderInUse, match="is a file"):
        from_open_clip(models.open_clip_model(False), folder=tmp_path / "file")


def test_a_failure_leaves_no_weights_and_is_made_up_for(tmp_path: Path, monkeypatch: Any) -> None:
    import safetensors.torch

    real = safetensors.torch.save_file

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        real(tensors, path, metadata=metadata)
        with open(path, "r+b") as file:
            file.truncate(1000)
        raise OSError("no space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    folder = tmp_path / "clip"
    with pytest.raises(OSError, match="no space"):
        from_open_clip(models.open_clip_model(True), models.word_tokenizer(), folder=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["open_clip_config.json", "tokenizer.json"]
    monkeypatch.undo()
    with pytest.raises(FolderInUse, match=r"tokenizer\.json"):
        from_open_clip(models.open_clip_model(True), folder=folder)
    from_open_clip(models.open_clip_model(True), models.word_tokenizer(), folder=folder)
    assert sorted(written(folder)) == ["open_clip_config.json", WEIGHTS, "tokenizer.json"]


def test_files_that_a_user_changed_or_added_stay(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    from_open_clip(models.open_clip_model(True), folder=folder)
    (folder / "tokenizer.json").write_text("{}")
    from_open_clip(models.open_clip_model(True), folder=folder)
    assert (folder / "tokenizer.json").read_text() == "{}"
    config = folder / "open_clip_config.json"
    config.write_text(config.read_text().replace("0.26862954", "0.3"))
    with pytest.raises(FolderInUse, match=r"open_clip_config\.json"):
        from_open_clip(models.open_clip_model(True), folder=folder)
    config.unlink()
    from_open_clip(models.open_clip_model(True), folder=folder)
    assert "0.26862954" in config.read_text()


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    old, new = (folder / f".{WEIGHTS}.{number:08}.headspan-tmp" for number in (1, 2))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    from_open_clip(models.open_clip_model(True), folder=folder)
    assert new.exists() and not old.exists()


def test_a_killed_process_leaves_nothing_half_written(tmp_path: Path) -> None:
    script = """
import os, sys, safetensors.torch
real = safetensors.torch.save_file
def killed(tensors, path, metadata):
    real(tensors, path, metadata=metadata)
    os.kill(os.getpid(), 9)
safetensors.torch.save_file = killed
import torch_models as models
from headspan._torch import from_open_clip
from_open_clip(models.open_clip_model(True), folder=sys.argv[1])
"""
    folder = tmp_path / "clip"
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(folder)], env=environment, check=False
    )
    assert ended.returncode == -9
    assert not (folder / WEIGHTS).exists()
    made = from_open_clip(models.open_clip_model(True), folder=folder)
    assert run_module(made).proj.shape == (models.WIDTH, models.EMBED)


def test_files_have_the_rights_of_any_new_file(tmp_path: Path) -> None:
    made = from_open_clip(models.open_clip_model(True), models.word_tokenizer(), folder=tmp_path / "clip")
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [*made.path.iterdir(), tmp_path / "other"]}
    assert len(modes) == 1, modes


def test_tensors_that_share_a_storage_are_stored_apart(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = models.open_clip_model(False)
    blocks = model.visual.transformer.resblocks
    blocks[1].mlp = blocks[0].mlp
    big = torch.randn(100, 32, generator=torch.Generator().manual_seed(0))
    model.visual.positional_embedding = torch.nn.Parameter(big[3:40])
    made = from_open_clip(model, folder=tmp_path / "clip")
    stored = load_file(made.path / WEIGHTS)
    assert torch.equal(stored["visual.positional_embedding"], big[3:40])
    names = [f"visual.transformer.resblocks.{layer}.mlp.c_fc.weight" for layer in (0, 1)]
    assert torch.equal(stored[names[0]], stored[names[1]])
    size = sum(value.numel() * 4 for value in stored.values())
    assert (made.path / WEIGHTS).stat().st_size < size + 20_000


def test_the_files_hash_is_that_of_what_was_written(tmp_path: Path) -> None:
    made = from_open_clip(models.open_clip_model(False), folder=tmp_path / "clip")
    assert len(stored_content(made.path / WEIGHTS) or "") == 64
    (tmp_path / "broken").write_bytes(b"\xff" * 100)
    assert stored_content(tmp_path / "broken") is None


def test_open_clips_tokenizer_becomes_a_file_with_the_same_ids(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    simple = open_clip.get_tokenizer("ViT-B-32")
    content = tokenizer_json(simple, CLIP_TEXT, None)
    file = Tokenizer.from_str(content.decode())
    for text in ["a photo of a cat", "naïve   CAFÉ\n2024", "don't I'll"]:
        assert file.encode(text).ids == [49406, *simple.encode(text), 49407], text


def test_open_clips_tokenizer_is_clips_published_file() -> None:
    shared = os.environ.get("HEADSPAN_SHARED")
    if not shared:
        pytest.skip("HEADSPAN_SHARED is not set")
    published = json.loads((Path(shared) / "data/clip-tokenizer.json").read_text())
    made = json.loads(tokenizer_json(open_clip.get_tokenizer("ViT-B-32"), CLIP_TEXT, None))
    assert made == published


def test_transformers_tokenizer_is_stored_without_its_last_call() -> None:
    simple = open_clip.get_tokenizer("ViT-B-32")
    value = json.loads(tokenizer_json(simple, CLIP_TEXT, None))["model"]
    tokenizer = transformers.CLIPTokenizer(
        vocab=value["vocab"], merges=[tuple(pair) for pair in value["merges"]]
    )
    tokenizer(["a photo", "a"], padding="max_length", max_length=9, truncation=True)
    made = json.loads(tokenizer_json(tokenizer, CLIP_TEXT, 49407))
    assert made["truncation"] is None and made["padding"] is None
    assert made["model"]["vocab"] == value["vocab"]


def test_tokenizers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    simple = open_clip.tokenizer.SimpleTokenizer
    cases = [
        (simple(context_length=64), "64 tokens of a text"),
        (simple(clean="canonicalize"), "_clean_canonicalize"),
        (models.word_tokenizer(), ""),
        (object(), "cannot be stored"),
    ]
    for tokenizer, expected in cases:
        if not expected:
            tokenizer_json(tokenizer, CLIP_TEXT, models.END)
            continue
        with pytest.raises(TokenizerMismatch, match=expected):
            tokenizer_json(tokenizer, CLIP_TEXT, None)
    model = models.transformers_model(False)
    with pytest.raises(TokenizerMismatch, match="do not belong together"):
        from_transformers(
            model, type("Processor", (), {"tokenizer": simple(context_length=12)})(), folder=tmp_path / "c"
        )
    assert not (tmp_path / "c").exists()
    learned = models.word_tokenizer()
    learned.add_tokens(["<my-cat>"])
    wider = Text(**{**CLIP_TEXT.__dict__, "vocab_size": 65})
    tokenizer_json(learned, wider, None)
    with pytest.raises(TokenizerMismatch, match="<my-cat>"):
        tokenizer_json(learned, wider, models.END)


def test_what_the_folder_lacks_is_said(tmp_path: Path) -> None:
    made = from_open_clip(models.open_clip_model(False, vocabulary=49408), folder=tmp_path / "clip")
    assert "headspan fetch tokenizer" in made.notes[-1]
    assert not (made.path / "tokenizer.json").exists()

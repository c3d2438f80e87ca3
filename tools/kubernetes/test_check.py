"""Proves that check.py finds what is wrong: each test breaks one thing.

python -m unittest discover -s tools/kubernetes
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import check

STOP = check.STOP.read_text(encoding="utf-8")
RECIPE = check.RECIPE.read_text(encoding="utf-8")
IGNORED = (check.ROOT / ".dockerignore").read_text(encoding="utf-8")


class Manifests(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for path in check.MANIFESTS.glob("*.yaml"):
            shutil.copy(path, self.folder)

    def errors_with(self, name: str, old: str, new: str, stop: str = STOP) -> str:
        """What is found once a text of a manifest is replaced, wherever it stands."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new), encoding="utf-8")
        return "\n".join(check.manifest_errors(self.folder, stop))

    def finds(self, says: str, name: str, old: str, new: str) -> None:
        self.assertIn(says, self.errors_with(name, old, new))

    def test_as_they_are(self) -> None:
        self.assertEqual(list(check.manifest_errors(self.folder, STOP)), [])

    def test_a_misspelt_field(self) -> None:
        self.finds("backoffLimitPerIdx", "extract.yaml", "backoffLimitPerIndex:", "backoffLimitPerIdx:")

    def test_a_value_of_another_type(self) -> None:
        self.finds("completions", "extract.yaml", "completions: 64", 'completions: "64"')

    def test_a_list_in_place_of_a_word(self) -> None:
        self.finds("Skip", "merge.yaml", "action: FailJob", "action: [Skip]")

    def test_another_number_of_shards(self) -> None:
        self.finds(
            "SHARDS is 64, and completions is 65", "extract.yaml", "completions: 64", "completions: 65"
        )

    def test_exit_codes_that_the_program_does_not_have(self) -> None:
        self.finds("exit code 75 leads to None", "extract.yaml", "values: [75]", "values: [76]")
        stop = STOP.replace("STOPPED: u8 = 75", "STOPPED: u8 = 77")
        self.assertIn("exit code 77", self.errors_with("merge.yaml", "values: [2]", "values: [2]", stop))

    def test_wrong_usage_that_is_tried_again(self) -> None:
        self.finds("exit code 2 leads to Ignore", "merge.yaml", "action: FailJob", "action: Ignore")

    def test_root(self) -> None:
        self.finds("may run as root", "extract.yaml", "runAsNonRoot: true", "runAsNonRoot: false")

    def test_a_file_system_that_can_be_written(self) -> None:
        self.finds(
            "can be written", "merge.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"
        )

    def test_a_volume_that_is_not_there(self) -> None:
        self.finds("not defined: ['scratch']", "extract.yaml", "- name: scratch", "- name: scratchy")

    def test_an_image_without_a_version(self) -> None:
        self.finds("image without a version", "extract.yaml", "headspan:0.1.0", "headspan:latest")
        self.finds("image without a version", "merge.yaml", "lab/headspan:0.1.0", "lab/headspan")

    def test_secrets(self) -> None:
        device = "{name: HEADSPAN__DEVICE, value: wgpu}"
        key = "{name: AWS_SECRET_ACCESS_KEY, value: abc}"
        self.finds("`AWS_SECRET_ACCESS_KEY` stands in", "extract.yaml", device, key)
        self.finds("`HF_TOKEN` is a secret", "settings.yaml", "AWS_REGION:", "HF_TOKEN:")

    def test_another_shard(self) -> None:
        self.finds("no container has", "extract.yaml", "$(SHARD)/$(SHARDS)", "0/$(SHARDS)")


class Recipe(unittest.TestCase):
    def errors_with(self, old: str, new: str, ignored: str = IGNORED) -> str:
        self.assertIn(old, RECIPE)
        return "\n".join(check.recipe_errors(RECIPE.replace(old, new), ignored))

    def test_as_it_is(self) -> None:
        self.assertEqual(list(check.recipe_errors(RECIPE, IGNORED)), [])

    def test_what_hadolint_finds(self) -> None:
        self.assertIn("DL3007", self.errors_with("debian:bookworm-slim", "debian:latest"))
        self.assertIn("unexpected", self.errors_with("ENTRYPOINT", "ENTRYPONT"))

    def test_root(self) -> None:
        self.assertIn("runs as root", self.errors_with("USER 10001:10001", "USER root"))
        self.assertIn("runs as root", self.errors_with("USER 10001:10001\n", ""))

    def test_a_secret_in_a_layer(self) -> None:
        self.assertIn("a secret would stay", self.errors_with("USER 10001", "ENV HF_TOKEN=abc\nUSER 10001"))

    def test_more_than_is_named(self) -> None:
        self.assertIn("differ", self.errors_with("COPY data data", "COPY . ."))
        self.assertIn("differ", self.errors_with("COPY data data", "COPY data data", IGNORED + "!runs\n"))

    def test_a_build_stage_in_the_image(self) -> None:
        self.assertIn(
            "part of the image", self.errors_with("FROM docker.io/library/debian:bookworm-slim\n", "")
        )


if __name__ == "__main__":
    unittest.main()

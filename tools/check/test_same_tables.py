"""Proves that the comparison of same_tables.py can fail, and that it passes what it should.

    python -m unittest discover -s tools/check
"""

import json
import pathlib
import struct
import sys
import tempfile
import unittest
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import contract
from json_diff import JsonDifference
from random_checkpoint import shapes
from same_tables import compare_record
from table_diff import compare_folders, compare_tables

FOOTER = {"headspan.schema_version": "1", "headspan.fingerprint": "aa", "headspan.model": "m", "headspan.dataset": "d"}
VECTOR = pa.list_(pa.field("item", pa.float32(), nullable=False), 3)
COLUMNS = {
    "layer": pa.array([2, 2, 3], pa.uint32()),
    "rank": pa.array([0, 1, 0], pa.uint32()),
    "text": pa.array(["a boat", None, "the sea"]),
    "std": pa.array([0.5, float("nan"), -0.0]),
    "embedding": pa.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], VECTOR),
    "consistent": pa.array([[True, None], [], [False]], pa.list_(pa.bool_())),
}


def written(path, columns, footer=FOOTER, compression="none"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(footer), path, compression=compression, use_dictionary=False)
    return path


class Tables(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.old = written(self.folder / "old/textspan.parquet", COLUMNS)

    def verdict(self, columns=COLUMNS, **rest):
        new = written(self.folder / "new/textspan.parquet", columns, **rest)
        return compare_tables(self.old, new, "t")

    def fails(self, verdict, says):
        self.assertFalse(verdict.passed, verdict)
        self.assertIn(says, verdict.text)

    def passes(self, verdict, says):
        self.assertTrue(verdict.passed, verdict)
        self.assertIn(says, verdict.text)

    def test_what_is_equal_passes(self):
        self.passes(self.verdict(), "identical")
        other = FOOTER | {"headspan.fingerprint": "bb", "headspan.schema_version": "2"}
        # pyarrow writes the metadata into the schema's copy, too.
        keys = "ARROW:schema, headspan.fingerprint, headspan.schema_version"
        self.passes(self.verdict(footer=other), f"data identical, metadata differs: {keys}")

    def test_known_renames_and_added_columns_pass(self):
        columns = {("pick" if name == "rank" else name): column for name, column in COLUMNS.items()}
        self.passes(self.verdict(columns | {"effective_rank": pa.array([7, 7, 8])}), "rank → pick, added effective_rank")
        columns["pick"] = pa.array([0, 1, 1], pa.uint32())
        self.fails(self.verdict(columns), "column `pick` differs in 1 of 3 rows, first in row 2: 0 and 1")

    def test_one_flipped_byte_fails(self):
        """In every value of every column, and wherever else in the file a byte may be flipped."""
        content = self.old.read_bytes()
        new = self.folder / "new/textspan.parquet"
        new.parent.mkdir()
        at = content.index(struct.pack("<3f", 4, 5, 6))
        new.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        self.fails(compare_tables(self.old, new, "t"), "column `embedding` differs in 1 of 3 rows, first in row 1: element 0")
        data = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        for at in range(data):
            new.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            self.assertFalse(compare_tables(self.old, new, "t").passed, f"byte {at}")

    def test_one_other_value_fails_in_each_column(self):
        others = {
            "layer": pa.array([2, 2, 4], pa.uint32()),
            "text": pa.array(["a boat", "", "the sea"]),
            "std": pa.array([0.5, float("nan"), 0.0]),
            "embedding": pa.array([[1, 2, 3], [4, 5, 6], [7, 8, 9.000001]], VECTOR),
            "consistent": pa.array([[True, None], [], [None]], pa.list_(pa.bool_())),
        }
        for name, column in others.items():
            # An added column makes the schemas differ, so that only the values can tell.
            changed = COLUMNS | {name: column, "added": column}
            self.fails(self.verdict(changed), f"column `{name}` differs in 1 of 3 rows")

    def test_lists_of_other_lengths_fail(self):
        column = pa.array([[True], [None], [False]], pa.list_(pa.bool_()))
        self.fails(self.verdict(COLUMNS | {"consistent": column}), "differs in 2 of 3 rows, first in row 0")

    def test_columns_that_are_gone_or_of_another_type_fail(self):
        without = {name: column for name, column in COLUMNS.items() if name != "std"}
        self.fails(self.verdict(without), "column `std` is gone")
        self.fails(self.verdict(COLUMNS | {"layer": pa.array([2, 2, 3], pa.uint64())}), "column `layer` was uint32 and is uint64")

    def test_other_rows_fail(self):
        self.fails(self.verdict({name: column[:2] for name, column in COLUMNS.items()}), "3 rows became 2")
        self.fails(self.verdict({name: column.take(pa.array([1, 0, 2])) for name, column in COLUMNS.items()}), "differs in 2 of 3 rows")

    def test_other_bytes_of_equal_values_fail_where_the_schema_is_the_same(self):
        self.fails(self.verdict(compression="zstd"), "the bytes of the data are not")

    def test_footers_keep_what_is_no_provenance(self):
        self.fails(self.verdict(footer=FOOTER | {"headspan.model": "other"}), "headspan.model in the footer")
        self.fails(self.verdict(footer={"headspan.model": "m"}), "the footer lacks")

    def test_damaged_and_missing_files_fail(self):
        new = self.folder / "new/textspan.parquet"
        new.parent.mkdir()
        new.write_bytes(self.old.read_bytes()[:-20])
        self.fails(compare_tables(self.old, new, "t"), "cannot be read")
        new.rename(new.with_name("other.parquet"))
        gone, added = sorted(compare_folders(self.folder / "old", self.folder / "new"), key=lambda verdict: verdict.passed)
        self.fails(gone, "the table is gone")
        self.passes(added, "added table")
        self.assertFalse(compare_folders(self.folder / "nothing", self.folder / "nothing")[0].passed)


class Json(unittest.TestCase):
    def test_values_keys_and_lengths(self):
        old = {"runs": [{"rank": 1, "seconds": 2.0, "score": 0.5}]}
        self.assertEqual(JsonDifference(old, {"runs": [{"pick": 1, "seconds": 3.0, "score": 0.5}]}, {"seconds"}).wrong, [])
        self.assertEqual(JsonDifference(old, {"runs": [{"rank": 1, "score": 0.5, "more": 1}]}, {"seconds"}).added, ["runs[0].more"])
        for runs in ([], [{"pick": 2, "score": 0.5}], [{"pick": 1}], [{"pick": 1, "score": 0.50001}], [{"pick": True, "score": 0.5}]):
            self.assertTrue(JsonDifference(old, {"runs": runs}, {"seconds"}).wrong, runs)

    def test_records_must_have_the_same_rows(self):
        with tempfile.TemporaryDirectory() as folder:
            old, new = pathlib.Path(folder, "old"), pathlib.Path(folder, "new")
            for side, rows in ((old, 3), (new, 4)):
                side.mkdir()
                (side / "r.json").write_text(json.dumps({"rows": rows, "seconds": rows, "figures": {"path": f"{side}/a"}}))
            self.assertIn("rows is 3 and 4", compare_record(old, new, "r.json", "r").text)
            self.assertTrue(compare_record(old, old, "r.json", "r").passed)
            (new / "r.json").unlink()
            self.assertFalse(compare_record(old, new, "r.json", "r").passed)


class Contract(unittest.TestCase):
    def test_exit_codes(self):
        def side(code, stdout="{}"):
            return SimpleNamespace(run=lambda words: SimpleNamespace(code=code, stdout=stdout, stderr=""))

        self.assertTrue(contract.refused(side(2), side(2), ["x"]).passed)
        for one, other in ((2, 1), (0, 0), (1, 0)):
            self.assertFalse(contract.refused(side(one), side(other), ["x"]).passed)
        self.assertFalse(contract.answers(side(1), side(1), ["x"], contract.same_json).passed)
        self.assertFalse(contract.answers(side(0), side(0, '{"a": 1}'), ["x"], contract.same_json).text == "identical")
        self.assertFalse(contract.answers(side(0, '{"a": 1}'), side(0, '{"a": 2}'), ["x"], contract.same_json).passed)
        self.assertFalse(contract.answers(side(0, '{"a": 1}'), side(0, "no JSON"), ["x"], contract.same_json).passed)

    def test_figures_count_and_words_do_not(self):
        self.assertEqual(contract.same_figures("head L3.H5: 0.25 in 3 ms", "of L3.H5: 0.25 in 9 ms")[0], [])
        self.assertTrue(contract.same_figures("score 0.25", "score 0.26")[0])
        self.assertTrue(contract.same_figures("score 0.25", "score")[0])
        self.assertTrue(contract.same_figures("score 0.25", "score 0.25, k 60")[0])
        self.assertEqual(contract.MORE["compare"]("score 0.25", "score 0.25\nmade with: k 60")[0], [])
        self.assertTrue(contract.MORE["compare"]("score 0.25", "k 60, score 0.25")[0])

    def test_flags_of_help(self):
        text = "Use --other.\n\nCommands:\n  plan    What\n  status  Of\n\nOptions:\n  -v, --verbose  More\n      --runs <DIR>\n"
        self.assertEqual(contract.listed(text), {"plan", "status", "--verbose", "--runs"})
        self.assertEqual(contract.same_flags(text, text.replace("--runs", "--folder"))[0], ["gone: --runs"])
        self.assertEqual(contract.same_flags(text, text + "      --new\n"), ([], "added: --new"))
        self.assertEqual(contract.same_flags(text, text.replace("--runs", "--folder"), unread={"--runs"})[0], [])


class Checkpoint(unittest.TestCase):
    def test_size(self):
        self.assertEqual(len(shapes()), 302)


if __name__ == "__main__":
    unittest.main()

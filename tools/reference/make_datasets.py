"""Writes the data sets that the tests of crates/images read but cannot write: GNU tar's sparse members, pyarrow's types and codecs.

Usage: make_datasets.py [crates/images/tests/data/datasets]     Needs GNU tar, and Python with pyarrow.

Python's tarfile and pyarrow are the judges: `expected.json` has what they read.
"""
import gzip, hashlib, json, subprocess, sys, tarfile, tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parents[2]
OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "crates/images/tests/data/datasets"
BLOCK = 4096


def holes(path, pieces, length):
    with open(path, "wb") as file:
        for at, byte in pieces:
            file.seek(at)
            file.write(bytes([byte]) * (BLOCK - 96))
        file.truncate(length)


def sparse():
    """A file with more pieces than fit into a header, one that is all hole, and a plain one behind them."""
    expected = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        holes(folder / "many.png", [(2 * BLOCK * number, 65 + number) for number in range(7)], 16 * BLOCK)
        holes(folder / "none.png", [], 3 * BLOCK)
        (folder / "plain.png").write_bytes(b"plain")
        for name, options in [
            ("gnu", ["--format=gnu"]),
            ("pax-0.0", ["--format=pax", "--sparse-version=0.0"]),
            ("pax-0.1", ["--format=pax", "--sparse-version=0.1"]),
            ("pax-1.0", ["--format=pax", "--sparse-version=1.0"]),
        ]:
            path = folder / "s.tar"
            fixed = ["--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=644", "--pax-option=delete=?time,exthdr.name=%d/x/%f"]
            fixed = fixed if "pax" in options[0] else fixed[:-1]
            subprocess.run(["tar", "-b1", "-S", *options, *fixed, "-cf", path, "many.png", "none.png", "plain.png"], cwd=folder, check=True)
            with tarfile.open(path) as tar:
                assert any(member.issparse() for member in tar)
                expected[name] = {member.name: hashlib.sha256(tar.extractfile(member).read()).hexdigest() for member in tar}
            (OUT / f"sparse-{name}.tar.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return expected


def parquet():
    values = [b"one", b"two", None, b"four"]
    paths = ["1.jpg", None, "3.jpg", "4.jpg"]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    structs = [{"bytes": value, "path": path} for value, path in zip(values, paths)]
    columns = {
        "binary": pa.array(values, pa.binary()),
        "large_binary": pa.array(values, pa.large_binary()),
        "binary_view": pa.array(values, pa.binary_view()),
        "dictionary": pa.array(values, pa.binary()).dictionary_encode(),
        "struct": pa.array(structs, struct),
        "list_binary": pa.array([None if value is None else [value, b"second"] for value in values], pa.list_(pa.binary())),
        "list_struct": pa.array([[one, one] for one in structs], pa.list_(struct)),
        "list_uint8": pa.array([None if value is None else list(value) for value in values], pa.list_(pa.uint8())),
        "list_int8": pa.array([None if value is None else list(value) for value in values], pa.list_(pa.int8())),
        "large_list": pa.array([None if value is None else [value] for value in values], pa.large_list(pa.large_binary())),
    }
    pq.write_table(pa.table(columns), OUT / "types.parquet", row_group_size=3)
    for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
        for version in ["1.0", "2.0"]:
            path = OUT / f"codec-{codec}-{version[0]}.parquet"
            pq.write_table(pa.table({"image": columns["binary"]}), path, compression=codec, data_page_version=version, store_schema=False)
    encodings = {"DELTA_BYTE_ARRAY": "delta", "DELTA_LENGTH_BYTE_ARRAY": "delta-length", "PLAIN": "plain"}
    for encoding, name in encodings.items():
        path = OUT / f"encoding-{name}.parquet"
        pq.write_table(pa.table({"image": columns["binary"]}), path, use_dictionary=False, column_encoding={"image": encoding}, store_schema=False)


OUT.mkdir(parents=True, exist_ok=True)
expected = {"sparse": sparse()}
parquet()
(OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")

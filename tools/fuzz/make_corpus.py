"""Writes the seeds of the fuzz targets into `corpus/<target>/`, from the project's test data and from rules.

Run it with Python 3.10 or later and pyarrow. The targets `image` and `parquet` take the test data of `crates/images` as it is, and
`table` writes its own seeds (`run.sh seeds`).
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
CRATES = HERE.parents[1] / "crates"
CORPUS = HERE / "corpus"

PIXEL = (CRATES / "images/tests/data/odd/jpeg-one-pixel.jpg").read_bytes()
# First bytes of a seed for `tar`: as it is, with right checksums, as gzip, as Zstandard.
HOW = {"plain": b"\0", "checked": b"\1", "gzip": b"\2", "zstd": b"\3"}


def main() -> None:
    """Writes all seeds anew."""
    for name, seeds in {
        "tar": tars(),
        "csv": tables_of_text(),
        "text": texts(),
        "answer": answers(),
        "headers": headers(),
        "labels": labels(),
        "checkpoint": checkpoints(),
    }.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        # Others were found by fuzzing, and are kept.
        for seed in folder.glob("[0-9][0-9][0-9]"):
            seed.unlink()
        for number, seed in enumerate(seeds):
            (folder / f"{number:03}").write_bytes(seed)


def tars() -> list[bytes]:
    """Shards in each format of headers, with links, long names, classes and sparse members."""
    shards = [made_tar(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    shards += sparse_tars()
    shards.append(shards[0] + shards[1])
    seeds = [HOW["checked"] + shard for shard in shards if len(shard) < 16_000]
    return seeds + [HOW[how] + shards[2] for how in ("plain", "gzip", "zstd")] + [HOW["plain"] + gzip.compress(shards[0])]


def made_tar(form: int) -> bytes:
    """A shard of two samples and of what may stand beside them."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as shard:
        for name, content in {
            "000.jpg": PIXEL,
            "000.cls": b"3",
            "a/001.png": b"png",
            "a/001.seg.png": b"mask",
            "a/001.json": b"{}",
            ("d" * 60 + "/") * (3 if form != tarfile.USTAR_FORMAT else 1) + "2.webp": b"long",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if form == tarfile.PAX_FORMAT:
                member.pax_headers = {"comment": "x", "size": str(len(content))}
            shard.addfile(member, io.BytesIO(content))
        for kind, name, target in ((tarfile.LNKTYPE, "hard.jpg", "000.jpg"), (tarfile.SYMTYPE, "a/soft.jpg", "../hard.jpg")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            shard.addfile(link)
    # With fewer of the zeros that fill up the last record.
    return file.getvalue().rstrip(b"\0") + bytes(1024 + 512)


def sparse_tars() -> list[bytes]:
    """A member with a hole, in three ways of writing its map."""
    stored, map_in_body = b"startend", b"2\n0\n5\n1024\n3\n".ljust(512, b"\0")
    pax_1 = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "0.jpg", "GNU.sparse.realsize": "1027"}
    pax_0 = {"GNU.sparse.map": "0,5,1024,3", "GNU.sparse.size": "1027"}
    shards = []
    for attributes, body in ((pax_1, map_in_body + stored), (pax_0, stored)):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as shard:
            member = tarfile.TarInfo("GNUSparseFile.0/0.jpg")
            member.size, member.pax_headers = len(body), attributes
            shard.addfile(member, io.BytesIO(body))
        shards.append(file.getvalue().rstrip(b"\0") + bytes(1024 + 512))
    gnu = bytearray(tarfile.TarInfo("0.jpg").tobuf(tarfile.GNU_FORMAT))
    gnu[124:136], gnu[156:157] = b"%011o\0" % len(stored), b"S"
    gnu[386:434] = b"".join(b"%011o\0" % number for number in (0, 5, 1024, 3))
    gnu[483:495] = b"%011o\0" % 1027
    return [*shards, bytes(gnu) + stored.ljust(512, b"\0") + bytes(1024)]


def tables_of_text() -> list[bytes]:
    """Manifests and class files; the first byte says the ending."""
    manifests = [
        "path,class\na.jpg,cat\nb.jpg,dog\n",
        "path;class\na.jpg;cat\n",
        'path\tclass\na.jpg\t"two\nlines"\n',
        'path,title\na.jpg,"27"" inch"\nb.jpg,"open\n',
        "a.jpg,cat\nb.jpg,dog\n",
        "file://localhost/a%20b.jpg\nhttps://x.org/a.jpg\n",
        "path\r\n\r\na.jpg\r\n,,\r\n",
        "n02,tench\nn03,\n007,x\n",
    ]
    seeds = [bytes([number & 1]) + text.encode() for number, text in enumerate(manifests)]
    return seeds + [b"\0" + manifests[0].encode(code) for code in ("utf-8-sig", "utf-16", "utf-16-be")]


def texts() -> list[bytes]:
    """Every ninth text of the golden file of cleaning, and entities in one another."""
    golden = json.loads((CRATES / "cleaning/tests/data/cleaned.json").read_text(encoding="utf-8"))
    flat = [pair[0] if isinstance(pair, list) else pair for pair in golden]
    some = [text for text in flat if isinstance(text, str) and 4 < len(text) < 120][::9]
    return [text.encode() for text in [*some[:48], "&amp;amp;lt;b&gt; caf\u00c3\u00a9", "\u00e2\u20ac\u0153x\u00e2\u20ac\ufffd"]]


def answers() -> list[bytes]:
    """Answers and refusals of the recorded endpoints, streams, and addresses."""
    seeds = []
    for path in sorted((CRATES / "label/tests/endpoints").glob("*.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        seeds.append(json.dumps(recorded.get("answer")).encode())
        seeds += [json.dumps(refusal["body"]).encode() for refusal in recorded.get("refusals", []) if "body" in refusal]
    said = '<think>{"property": 1}</think>\n```json\n{"property": "colors", "consistent": true}\n```'
    chunk = json.dumps({"choices": [{"delta": {"content": said}, "finish_reason": None}]})
    seeds += [f"data: {chunk}\n\ndata: [DONE]\n".encode(), json.dumps({"choices": [{"message": {"content": said}}]}).encode()]
    return seeds + [b"https://u:p@h:81/v1?a=b#c", b"http://[::1]:11434/v1/chat/completions", b"<html><title>404</title>"]


def headers() -> list[bytes]:
    """Lines of a header's number and its value."""
    return [
        b'\0W/"0123456789abcdef"\n\x020123456789abcdef0123456789abcdef01234567\n\x0317\n',
        b'\1"' + b"a" * 64 + b'"\n\2main\n\x042\n',
        b"\4Sun, 06 Nov 1994 08:49:37 GMT\n\5250.5\n\6/x\n",
        b"\0..\n\2../../x\n\4-1\n",
    ]


def labels() -> list[bytes]:
    """Labels as CSV and as Parquet."""
    rows = {"model": ["m", "m"], "layer": [1, 2], "head": [0, 1], "property": ["colors", None], "consistent": ["101", None]}
    file = io.BytesIO()
    pq.write_table(pa.table(rows), file, compression="none")
    plain = b"model,layer,head,property,consistent,description\nm,1,0,colors,11010,x\nm,1,1,,,\n"
    return [plain, plain.replace(b"11010", b'"[1, 0]"'), file.getvalue()]


def checkpoints() -> list[bytes]:
    """Pickles of modules, a small file of `torch.save` in two containers, and a header of safetensors."""
    folder = CRATES / "model/tests/data/model/quick-gelu"
    seeds = []
    for name in ("torchscript.pt", "module.pt", "weights.bin"):
        with zipfile.ZipFile(folder / name) as archive:
            entry = next(entry for entry in archive.namelist() if entry.endswith("data.pkl"))
            seeds.append(archive.read(entry)[:6000])
    safe = (folder / "case.safetensors").read_bytes()
    seeds.append(safe[8 : 8 + struct.unpack("<Q", safe[:8])[0]][:4000])
    seeds += [pickle.dumps({"a": [1, 2.5, "x"], "b": None}, protocol) for protocol in range(5)]
    return [*seeds, saved()]


def saved() -> bytes:
    """What `torch.save({"w": torch.zeros(2)})` writes, by hand."""
    body = (
        b"\x80\x02}q\0X\1\0\0\0wq\1ctorch._utils\n_rebuild_tensor_v2\nq\2((X\7\0\0\0storageq\3ctorch\nFloatStorage\nq\4"
        b"X\1\0\0\x000q\5X\3\0\0\0cpuq\6K\2tq\7QK\0K\2\x85q\x08K\1\x85q\t\x89ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs."
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (("data.pkl", body), ("byteorder", b"little"), ("data/0", bytes(8)), ("version", b"3\n")):
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


if __name__ == "__main__":
    main()

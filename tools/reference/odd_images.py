"""Image files of all the kinds that are met in data sets, and what Pillow makes of them.

Usage: odd_images.py OUT [--photos FOLDER]   (writes OUT/<case>.<ending>, OUT/pixels.txt and OUT/photos.txt)

A line of pixels.txt: file, width, height and the start of the SHA-256 of the RGB bytes, or `refused` if Pillow raises. A line of
photos.txt: a photo of FOLDER, and the same of its pixels and of the 224 × 224 pixels that OpenCLIP's transform makes of it. Needs
Pillow, and `cjpeg` of libjpeg-turbo (Debian's libjpeg-turbo-progs).
"""

import hashlib
import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 27, 21


def picture(width: int = WIDTH, height: int = HEIGHT, channels: int = 3) -> np.ndarray:
    """Smooth colours and edges."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (5 + 2 * c) + c) * np.cos(y / (6 + c)) * 80 + 120 + 55 * ((x // 9 + y // 7 + c) % 2) for c in range(channels)]
    return np.clip(np.stack(waves, -1), 0, 255).astype(np.uint8)


RGB = Image.fromarray(picture())
GREY = RGB.convert("L")
INKS = Image.fromarray(picture(channels=4), "CMYK")
RGBA = Image.fromarray(picture(channels=4), "RGBA")
PALETTE = RGB.quantize(20)


def saved(image: Image.Image, form: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def digest(image: Image.Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


def tool(name: str, data: bytes, *options: str) -> bytes:
    return subprocess.run([name, *options], input=data, capture_output=True, check=True).stdout


# JPEG ------------------------------------------------------------------------------------------------------------------------


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform))


def segments(data: bytes):
    """(start, marker, end) of the segments before the first scan."""
    at = 2
    while data[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        yield at, data[at + 1], end
        at = end
    yield at, 0xDA, len(data)


def without(data: bytes, *markers: int) -> bytes:
    return data[:2] + b"".join(data[start:end] for start, marker, end in segments(data) if marker not in markers)


def with_start(data: bytes, more: bytes) -> bytes:
    return data[:2] + more + data[2:]


def with_ids(data: bytes, ids: bytes) -> bytes:
    """Other component ids, in the frame and in all scans."""
    data = bytearray(data)
    old = []
    for start, marker, _ in segments(bytes(data)):
        if 0xC0 <= marker <= 0xC2:
            for index, own in enumerate(ids):
                old.append(data[start + 10 + 3 * index])
                data[start + 10 + 3 * index] = own
    at = 0
    while (at := data.find(b"\xff\xda", at)) >= 0:
        for index in range(data[at + 4]):
            data[at + 5 + 2 * index] = ids[old.index(data[at + 5 + 2 * index])]
        at += 2
    return bytes(data)


def frame_edited(data: bytes, offset: int, value: bytes, marker: int | None = None) -> bytes:
    """Bytes of the frame header replaced; the offset counts from its marker."""
    data = bytearray(data)
    start = next(start for start, own, _ in segments(bytes(data)) if 0xC0 <= own <= 0xC2)
    data[start + offset : start + offset + len(value)] = value
    if marker:
        data[start + 1] = marker
    return bytes(data)


def jpegs() -> dict[str, bytes]:
    base = saved(RGB, "JPEG", quality=85)
    bare = without(base, 0xE0)
    keep = saved(RGB, "JPEG", quality=85, keep_rgb=True)
    plain = without(keep, 0xE0, 0xEE)
    inks = saved(INKS, "JPEG", quality=85)
    bare_inks = without(inks, 0xE0, 0xEE)
    progressive = saved(RGB, "JPEG", quality=85, progressive=True)
    grey = saved(GREY, "JPEG", quality=85)
    pnm = saved(RGB, "PPM")
    exif = Image.Exif()
    exif[0x0112] = 6
    cases = {
        "420": base,
        "422": saved(RGB, "JPEG", quality=85, subsampling=1),
        "444": saved(RGB, "JPEG", quality=95, subsampling=0),
        "coarse": saved(RGB, "JPEG", quality=3),
        "grey": grey,
        "progressive": progressive,
        "oriented": saved(RGB, "JPEG", quality=85, exif=exif),
        "optimised": saved(RGB, "JPEG", quality=85, optimize=True),
        "restarts": saved(RGB, "JPEG", quality=85, restart_marker_blocks=2),
        "one-pixel": saved(RGB.crop((7, 7, 8, 8)), "JPEG"),
        "column": saved(RGB.crop((7, 0, 8, 21)), "JPEG"),
        "row": saved(RGB.crop((0, 7, 27, 8)), "JPEG"),
        "three-wide": saved(RGB.crop((0, 0, 3, 21)), "JPEG"),
        "five-wide": saved(RGB.crop((0, 0, 5, 9)), "JPEG"),
        "inks-adobe0": inks,
        "inks-adobe1": with_start(bare_inks, adobe(1)),
        "inks-adobe2": with_start(bare_inks, adobe(2)),
        "inks-adobe7": with_start(bare_inks, adobe(7)),
        "inks-bare": bare_inks,
        "inks-jfif-adobe2": with_start(bare_inks, segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + adobe(2)),
        "inks-progressive": with_start(without(saved(INKS, "JPEG", progressive=True), 0xEE), adobe(2)),
        "bare": bare,
        "bare-adobe0": with_start(bare, adobe(0)),
        "bare-adobe1": with_start(bare, adobe(1)),
        "bare-adobe2": with_start(bare, adobe(2)),
        "bare-adobe7": with_start(bare, adobe(7)),
        "jfif-adobe0": with_start(bare, segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + adobe(0)),
        "adobe-short": with_start(bare, segment(0xEE, b"Adobe\0")),
        "adobe-cut-name": with_start(bare, segment(0xEE, b"Adob")),
        "rgb-adobe0": with_start(with_ids(plain, b"\1\2\3"), adobe(0)),
        "rgb-letters": with_ids(plain, b"RGB"),
        "rgb-letters-jfif": with_start(with_ids(plain, b"RGB"), segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")),
        "rgb-letters-adobe1": with_start(with_ids(plain, b"RGB"), adobe(1)),
        "rgb-small-letters": with_ids(plain, b"rgb"),
        "rgb-numbers": with_ids(plain, b"\1\2\3"),
        "from-zero": with_ids(bare, b"\0\1\2"),
        "ids-jfif-letters": with_ids(base, b"RGB"),
        "ycck-letters": with_ids(bare_inks, b"CMYK"),
        "grey-adobe0": with_start(without(grey, 0xE0), adobe(0)),
        "grey-adobe1": with_start(without(grey, 0xE0), adobe(1)),
        "grey-adobe2": with_start(grey, adobe(2)),
        "grey-letter": with_ids(without(grey, 0xE0), b"R"),
        "no-end": base[:-2],
        "no-end-half": base[:-1],
        "no-end-zeros": base[:-2] + bytes(64),
        "no-end-one-zero": base[:-2] + b"\0",
        "no-end-ones": base[:-2] + b"\xff" * 9,
        "no-end-text": base[:-2] + b"\r\n--boundary--\r\n",
        "no-end-jpeg": base[:-2] + grey,
        "no-end-progressive": progressive[:-2],
        "no-end-progressive-zeros": progressive[:-2] + bytes(64),
        "no-end-grey": grey[:-2] + bytes(64),
        "no-end-inks": inks[:-2] + bytes(64),
        "junk-after": base + b"<html>" * 20,
        "zeros-after": base + bytes(100),
        "jpeg-after": base + grey,
        "end-twice": base + b"\xff\xd9",
        "cut": base[: len(base) * 3 // 4],
        "cut-a-little": base[:-12],
        "cut-ended": base[: len(base) * 3 // 4] + b"\xff\xd9",
        "cut-zeros": base[: len(base) * 3 // 4] + bytes(300),
        "cut-header": base[:300],
        "cut-progressive": progressive[: len(progressive) * 3 // 4],
        "cut-progressive-ended": progressive[: len(progressive) // 2] + b"\xff\xd9",
        "cut-progressive-more-ended": progressive[: len(progressive) * 3 // 4] + b"\xff\xd9",
        "bits-flipped": base[:-70] + bytes([base[-70] ^ 0x55]) + base[-69:],
        "fill-bytes": with_start(base, b"\xff\xff\xff"),
        "junk-before-segment": base[:20] + b"junk" + base[20:],
        "thumbnail": with_start(base, segment(0xE1, b"Exif\0\0" + saved(GREY.resize((8, 8)), "JPEG"))),
        "standard-tables": without(base, 0xC4),
        "no-quantisation": without(base, 0xDB),
        "extended": frame_edited(base, 1, b"\xc1"),
        "twelve-bits": frame_edited(base, 4, b"\x0c"),
        "lossless": frame_edited(base, 1, b"\xc3"),
        "hierarchical": frame_edited(base, 1, b"\xc5"),
        "no-height": frame_edited(base, 5, b"\0\0"),
        "no-width": frame_edited(base, 7, b"\0\0"),
        "taller-than-data": frame_edited(base, 5, b"\0\x60"),
        "huge": frame_edited(base, 5, b"\xff\xdc\xff\xdc"),
        "two-components": frame_edited(frame_edited(base, 9, b"\2"), 3, b"\x0e"),
        "tables-alone": base[:2] + b"".join(base[s:e] for s, m, e in segments(base) if m in (0xDB, 0xC4)) + b"\xff\xd9",
        "comment": with_start(base, segment(0xFE, b"\xff\xd9 a comment \xff\xda")),
        "no-marker-after-start": base[:2] + b"\0" + base[2:],
    }
    multi = io.BytesIO()
    RGB.save(multi, "MPO", save_all=True, append_images=[GREY.convert("RGB")])
    cases["multi-picture"] = multi.getvalue()
    samplings = ["4x1", "1x2", "4x2", "2x4", "3x1", "2x2,2x1,1x2", "1x1,2x1,2x1", "2x2,1x1,2x2", "1x4", "1x1,1x2,2x1"]
    for sampling in samplings:
        cases[f"sampled-{sampling.replace(',', '-')}"] = tool("cjpeg", pnm, "-quality", "85", "-sample", sampling)
    cases["arithmetic"] = tool("cjpeg", pnm, "-quality", "85", "-arithmetic")
    cases["arithmetic-progressive"] = tool("cjpeg", pnm, "-quality", "85", "-arithmetic", "-progressive")
    cases["arithmetic-no-end"] = cases["arithmetic"][:-2] + bytes(64)
    cases["one-scan-each"] = scans_of_their_own(pnm)
    return {f"jpeg-{name}.jpg": data for name, data in cases.items()}


def scans_of_their_own(pnm: bytes) -> bytes:
    """Baseline, one scan for each component."""
    script = Path("scans.txt")
    script.write_text("0;\n1;\n2;\n")
    data = tool("cjpeg", pnm, "-quality", "85", "-scans", str(script))
    script.unlink()
    return data


# PNG -------------------------------------------------------------------------------------------------------------------------


def chunk(name: bytes, content: bytes, wrong: bool = False) -> bytes:
    checksum = zlib.crc32(name + content) ^ (1 if wrong else 0)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png(bits: int, color: int, rows: bytes, size=(WIDTH, HEIGHT), before=b"", packed=None, interlaced=0, end=chunk(b"IEND", b"")) -> bytes:
    header = struct.pack(">IIBBBBB", *size, bits, color, 0, 0, interlaced)
    data = zlib.compress(rows) if packed is None else packed
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + end


def rows_of(array: np.ndarray, bits: int) -> bytes:
    height = array.shape[0]
    if bits == 16:
        lines = array.astype(">u2").reshape(height, -1)
        return b"".join(b"\0" + line.tobytes() for line in lines)
    lines = array.reshape(height, -1)
    if bits < 8:
        spread = (lines[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        lines = np.packbits(spread.reshape(height, -1), axis=1)
    return b"".join(b"\0" + line.tobytes() for line in lines.astype(np.uint8))


def interlaced(array: np.ndarray, bits: int) -> bytes:
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [array[y::dy, x::dx] for x, y, dx, dy in passes]
    return b"".join(rows_of(part, bits) for part in parts if part.size)


def pngs() -> dict[str, bytes]:
    colors, greys = picture(), picture(channels=1)[:, :, 0]
    inked = np.asarray(PALETTE)
    deep = picture(channels=4).astype(np.uint16) * 257 + np.arange(WIDTH, dtype=np.uint16)[None, :, None]
    plte = chunk(b"PLTE", bytes(PALETTE.getpalette()[:60]))
    rows = rows_of(colors, 8)
    packed = zlib.compress(rows)
    good = png(8, 2, rows)
    idat = good.index(b"IDAT")
    length = len(packed)
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0))
    cases = {
        "rgb": good,
        "rgb-16": png(16, 2, rows_of(deep[:, :, :3], 16)),
        "rgba": png(8, 6, rows_of(picture(channels=4), 8)),
        "rgba-16": png(16, 6, rows_of(deep, 16)),
        "grey-1": png(1, 0, rows_of(greys >> 7, 1)),
        "grey-2": png(2, 0, rows_of(greys >> 6, 2)),
        "grey-4": png(4, 0, rows_of(greys >> 4, 4)),
        "grey-8": png(8, 0, rows_of(greys, 8)),
        "grey-16": png(16, 0, rows_of(deep[:, :, 0] >> 6, 16)),
        "grey-alpha": png(8, 4, rows_of(picture(channels=2), 8)),
        "grey-alpha-16": png(16, 4, rows_of(deep[:, :, :2], 16)),
        "grey-transparent": png(8, 0, rows_of(greys, 8), before=chunk(b"tRNS", b"\0\x80")),
        "rgb-transparent": png(8, 2, rows, before=chunk(b"tRNS", b"\0\x80\0\x80\0\x80")),
        "palette-1": png(1, 3, rows_of(inked & 1, 1), before=plte),
        "palette-2": png(2, 3, rows_of(inked & 3, 2), before=plte),
        "palette-4": png(4, 3, rows_of(inked & 15, 4), before=plte),
        "palette-8": png(8, 3, rows_of(inked, 8), before=plte),
        "palette-alpha": png(8, 3, rows_of(inked, 8), before=plte + chunk(b"tRNS", bytes(range(0, 200, 10)))),
        "palette-short": png(8, 3, rows_of(inked, 8), before=chunk(b"PLTE", bytes(PALETTE.getpalette()[:30]))),
        "interlaced": png(8, 2, interlaced(colors, 8), interlaced=1),
        "interlaced-1": png(1, 0, interlaced(greys >> 7, 1), interlaced=1),
        "interlaced-16": png(16, 6, interlaced(deep, 16), interlaced=1),
        "interlaced-palette": png(4, 3, interlaced(inked & 15, 4), before=plte, interlaced=1),
        "interlaced-small": png(8, 2, interlaced(colors[:3, :2], 8), (2, 3), interlaced=1),
        "interlaced-no-end": png(8, 2, interlaced(colors, 8), interlaced=1, end=b""),
        "two-data-chunks": good[: idat - 4] + chunk(b"IDAT", packed[:50]) + chunk(b"IDAT", b"") + chunk(b"IDAT", packed[50:]) + chunk(b"IEND", b""),
        "no-end": png(8, 2, rows, end=b""),
        "no-end-zeros": png(8, 2, rows, end=bytes(64)),
        "no-end-text": png(8, 2, rows, end=b"<html>not found</html>"),
        "junk-after": good + b"junk" * 30,
        "wrong-checksum-pixels": good[: idat + 4 + length] + b"\0\0\0\0" + chunk(b"IEND", b""),
        "wrong-checksum-end": good[:-1] + b"\0",
        "wrong-checksum-header": good[:29] + b"\0\0\0\0" + good[33:],
        "wrong-checksum-palette": png(8, 3, rows_of(inked, 8), before=plte[:-4] + b"\0\0\0\0"),
        "wrong-zlib-checksum": png(8, 2, rows, packed=packed[:-1] + bytes([packed[-1] ^ 1])),
        "no-zlib-checksum": png(8, 2, rows, packed=packed[:-4]),
        "junk-in-data": png(8, 2, rows, packed=packed + b"junk"),
        "too-many-rows": png(8, 2, rows + rows[:200]),
        "too-few-rows": png(8, 2, rows[:-50]),
        "bit-flipped": png(8, 2, rows, packed=packed[:200] + bytes([packed[200] ^ 8]) + packed[201:]),
        "unknown-filter": png(8, 2, b"\x07" + rows[1:]),
        "private-chunk": png(8, 2, rows, before=chunk(b"prVt", b"own")),
        "apple": good[:8] + chunk(b"CgBI", b"\x50\0\x20\2") + png(8, 2, rows, packed=packed[2:-4])[8:],
        "animated": png(8, 2, rows, before=chunk(b"acTL", struct.pack(">II", 2, 0)) + frame, end=second_frame()),
        "animated-default": png(8, 2, rows, before=chunk(b"acTL", struct.pack(">II", 1, 0)), end=second_frame(0)),
        "huge": png(8, 2, rows, (100_000, 100_000)),
        "no-data": good[: idat - 4] + chunk(b"IEND", b""),
        "text-mode": good.replace(b"\r\n", b"\n"),
    }
    for cut in (2, 12, 14, 16, 18, 20, 21, 60, 300):
        cases[f"cut-{cut}"] = good[:-cut]
    # What Pillow refuses, though nothing that matters is damaged.
    cases["wrong-checksum-text"] = png(8, 2, rows, before=chunk(b"tEXt", b"a\0b", wrong=True))
    cases["wrong-checksum-gamma"] = png(8, 2, rows, before=chunk(b"gAMA", b"\0\0\xb1\x8f", wrong=True))
    return {f"png-{name}.png": data for name, data in cases.items()}


def second_frame(sequence: int = 1) -> bytes:
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0))
    data = struct.pack(">I", sequence + 1) + zlib.compress(rows_of(255 - picture(), 8))
    return control + chunk(b"fdAT", data) + chunk(b"IEND", b"")


# Other formats ---------------------------------------------------------------------------------------------------------------


def bmp(bits: int, pixels: bytes, compression=0, palette=b"", masks=b"", height=HEIGHT, colors=0) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, compression, len(pixels), 0, 0, colors, 0)
    offset = 14 + 40 + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + header + masks + palette + pixels


def padded(lines: np.ndarray) -> bytes:
    return b"".join(line.tobytes() + bytes(-line.nbytes % 4) for line in lines[::-1])


def bmps() -> dict[str, bytes]:
    colors = picture().astype(np.uint16)
    red, green, blue = colors[:, :, 0], colors[:, :, 1], colors[:, :, 2]
    five = (red >> 3) << 10 | (green >> 3) << 5 | blue >> 3
    six = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
    four = np.concatenate([picture()[:, :, ::-1], picture(channels=4)[:, :, 3:]], -1)
    inked = np.asarray(PALETTE)
    table = b"".join(bytes(PALETTE.getpalette()[3 * i : 3 * i + 3][::-1]) + b"\0" for i in range(20))
    runs = b"".join(b"".join(bytes([1, value]) for value in line) + b"\0\0" for line in inked[::-1]) + b"\0\1"
    core = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24)
    whole = padded(picture()[:, :, ::-1])
    return {
        "bmp-24.bmp": saved(RGB, "BMP"),
        "bmp-8.bmp": saved(PALETTE, "BMP"),
        "bmp-grey.bmp": saved(GREY, "BMP"),
        "bmp-1.bmp": saved(GREY.convert("1"), "BMP"),
        "bmp-32.bmp": bmp(32, padded(four)),
        "bmp-16.bmp": bmp(16, padded(five)),
        "bmp-16-555.bmp": bmp(16, padded(five), 3, masks=struct.pack("<III", 0x7C00, 0x3E0, 0x1F)),
        "bmp-16-565.bmp": bmp(16, padded(six), 3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)),
        "bmp-8-few.bmp": bmp(8, padded(inked), palette=table, colors=20),
        "bmp-8-runs.bmp": bmp(8, runs, 1, palette=table, colors=20),
        "bmp-top-down.bmp": bmp(24, padded(picture()[::-1, :, ::-1]), height=-HEIGHT),
        "bmp-old.bmp": b"BM" + struct.pack("<IHHI", 26 + len(whole), 0, 0, 26) + core + whole,
        "bmp-cut.bmp": saved(RGB, "BMP")[:-100],
        "bmp-no-padding-at-end.bmp": saved(RGB, "BMP")[:-1],
    }


def gif_of_frame(screen, place, palette: bytes | None, local: bytes | None, image: Image.Image, transparent=None, interlace=False) -> bytes:
    """A GIF whose one frame is taken from Pillow's, put elsewhere on another canvas."""
    whole = saved(image, "GIF", interlace=int(interlace))
    at = whole.index(b"," + struct.pack("<HHHH", 0, 0, *image.size))
    flags = whole[at + 9]
    begin = at + 10 + (3 << (flags & 7) + 1 if flags & 128 else 0)
    data = whole[begin:]
    bits = lambda table: (len(table) // 3).bit_length() - 2
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80 | bits(palette) if palette else 0, 0, 0) + (palette or b"")
    if transparent is not None:
        out += b"!\xf9\4\1\0\0" + bytes([transparent]) + b"\0"
    own = (flags & 0x40) | (0x80 | bits(local) if local else 0)
    return out + b"," + struct.pack("<HHHH", *place, *image.size) + bytes([own]) + (local or b"") + data


def gifs() -> dict[str, bytes]:
    table = bytes(PALETTE.getpalette()[:60]) + bytes(12 * 3)
    other = table[::-1]
    grey = b"".join(bytes([i] * 3) for i in range(32))
    still = saved(PALETTE, "GIF")
    first, second = PALETTE, RGB.rotate(180).quantize(16)
    animated = io.BytesIO()
    first.save(animated, "GIF", save_all=True, append_images=[second])
    size = PALETTE.size
    return {
        "gif-still.gif": still,
        "gif-grey.gif": saved(GREY, "GIF"),
        "gif-interlaced.gif": saved(PALETTE, "GIF", interlace=1),
        "gif-transparent.gif": saved(PALETTE, "GIF", transparency=3),
        "gif-animated.gif": animated.getvalue(),
        "gif-local-colors.gif": gif_of_frame(size, (0, 0), table, other, PALETTE),
        "gif-no-colors.gif": gif_of_frame(size, (0, 0), None, None, PALETTE),
        "gif-grey-colors.gif": gif_of_frame(size, (0, 0), grey, None, PALETTE),
        "gif-few-colors.gif": gif_of_frame(size, (0, 0), table[:24], None, PALETTE),
        "gif-inside.gif": gif_of_frame((60, 50), (7, 5), table, None, PALETTE),
        "gif-inside-transparent.gif": gif_of_frame((60, 50), (7, 5), table, None, PALETTE, transparent=3),
        "gif-beyond.gif": gif_of_frame((30, 20), (3, 4), table, None, PALETTE),
        "gif-no-screen.gif": gif_of_frame((0, 0), (0, 0), table, None, PALETTE),
        "gif-no-end.gif": still[:-1],
        "gif-cut.gif": still[: len(still) * 2 // 3],
        "gif-junk-after.gif": still + b"junk",
    }


def tiffs() -> dict[str, bytes]:
    wide = Image.fromarray(picture(channels=1)[:, :, 0].astype(np.uint16) * 5)
    real = Image.fromarray(picture(channels=1)[:, :, 0].astype(np.float32) * 1.7 - 40.3)
    whole = Image.fromarray(picture(channels=1)[:, :, 0].astype(np.int32) * 3 - 100)
    cases = {f"tiff-rgb-{name}": saved(RGB, "TIFF", compression=kind) for name, kind in [
        ("raw", None), ("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("packbits", "packbits"), ("zstd", "zstd"), ("jpeg", "jpeg"), ("lzma", "lzma")]}
    for orientation in range(2, 9):
        cases[f"tiff-turned-{orientation}"] = saved(RGB.resize((9, 6)), "TIFF", tiffinfo={274: orientation})
    several = io.BytesIO()
    RGB.save(several, "TIFF", save_all=True, append_images=[GREY])
    cases |= {
        "tiff-grey": saved(GREY, "TIFF"),
        "tiff-1": saved(GREY.convert("1"), "TIFF"),
        "tiff-1-group4": saved(GREY.convert("1"), "TIFF", compression="group4"),
        "tiff-rgba": saved(RGBA, "TIFF"),
        "tiff-rgba-multiplied": saved(RGBA, "TIFF", tiffinfo={338: 1}),
        "tiff-grey-alpha": saved(RGBA.convert("LA"), "TIFF"),
        "tiff-palette": saved(PALETTE, "TIFF"),
        "tiff-inks": saved(INKS, "TIFF"),
        "tiff-inks-lzw": saved(INKS, "TIFF", compression="tiff_lzw"),
        "tiff-grey-16": saved(wide, "TIFF"),
        "tiff-float": saved(real, "TIFF"),
        "tiff-int": saved(whole, "TIFF"),
        "tiff-ycbcr": saved(RGB.convert("YCbCr"), "TIFF"),
        "tiff-predictor": saved(RGB, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}),
        "tiff-big": saved(RGB, "TIFF", big_tiff=True),
        "tiff-several": several.getvalue(),
        "tiff-strips": saved(RGB, "TIFF", compression="tiff_lzw", strip_size=500),
        "tiff-cut": saved(RGB, "TIFF", compression="tiff_lzw")[:-500],
    }
    return {f"{name}.tif": data for name, data in cases.items()}


def rest() -> dict[str, bytes]:
    colors = picture()
    plain = " ".join(str(value) for value in colors[:5, :7].reshape(-1)).encode()
    wide = picture(channels=1)[:, :, 0].astype(">u2") * 3
    deep = (colors.astype(np.uint16) * 257 + 13).astype(">u2")
    size = f"{WIDTH} {HEIGHT}".encode()
    exact = {
        "pnm-6.ppm": saved(RGB, "PPM"),
        "pnm-5.pgm": saved(GREY, "PPM"),
        "pnm-4.pbm": saved(GREY.convert("1"), "PPM"),
        "pnm-3.ppm": b"P3\n7 5\n255\n" + plain,
        "pnm-2.pgm": b"P2 " + size + b" 255 " + " ".join(str(v) for v in colors[:, :, 0].reshape(-1)).encode(),
        "pnm-1.pbm": b"P1\n# a comment\n" + size + b"\n" + b"".join(b"01"[v >> 7 : (v >> 7) + 1] for v in colors[:, :, 0].reshape(-1)),
        "pnm-6-comment.ppm": b"P6\n# made by hand\n" + size + b"\n255\n" + colors.tobytes(),
        "pnm-6-fewer.ppm": b"P6 " + size + b" 100 " + (colors // 3).tobytes(),
        "pnm-5-16.pgm": b"P5 " + size + b" 65535 " + wide.tobytes(),
        "pnm-6-16.ppm": b"P6 " + size + b" 65535 " + deep.tobytes(),
        "pnm-cut.ppm": saved(RGB, "PPM")[:-30],
        "qoi.qoi": saved(RGB, "QOI"),
        "qoi-alpha.qoi": saved(RGBA, "QOI"),
        "webp-lossless.webp": saved(RGB, "WEBP", lossless=True),
        "webp-lossless-alpha.webp": saved(RGBA, "WEBP", lossless=True),
        "webp-lossless-exact-alpha.webp": saved(RGBA, "WEBP", lossless=True, exact=True),
    }
    return exact


def lossy() -> dict[str, bytes]:
    animated = io.BytesIO()
    RGB.save(animated, "WEBP", save_all=True, append_images=[RGB.rotate(180)], quality=80)
    return {
        "webp-lossy.webp": saved(RGB, "WEBP", quality=80),
        "webp-lossy-low.webp": saved(RGB, "WEBP", quality=10),
        "webp-lossy-alpha.webp": saved(RGBA, "WEBP", quality=80),
        "webp-lossy-animated.webp": animated.getvalue(),
    }


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    lines = []
    for name, data in (jpegs() | pngs() | bmps() | gifs() | tiffs() | rest() | lossy()).items():
        (out / name).write_bytes(data)
        try:
            image = Image.open(io.BytesIO(data)).convert("RGB")
            lines.append(f"{name} {image.width} {image.height} {digest(image)}")
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            lines.append(f"{name} refused")
    (out / "pixels.txt").write_text("\n".join(lines) + "\n")
    if "--photos" in sys.argv:
        photos(out, Path(sys.argv[sys.argv.index("--photos") + 1]))


def photos(out: Path, folder: Path) -> None:
    """Resizes the short side to 224 and crops the centre, as torchvision does with Pillow's images."""
    lines = []
    for path in sorted(folder.iterdir()):
        image = Image.open(path).convert("RGB")
        width, height = image.size
        long = int(224 * max(width, height) / min(width, height))
        resized = image.resize((224, long) if width <= height else (long, 224), Image.Resampling.BICUBIC)
        left, top = (round((side - 224) / 2) for side in resized.size)
        lines.append(f"{path.name} {digest(image)} {digest(resized.crop((left, top, left + 224, top + 224)))}")
    (out / "photos.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

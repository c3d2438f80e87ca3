"""Write the tables of crates/cleaning: which characters and which sequences of them ftfy takes for wrongly decoded text, and the
entities of HTML. They are read from the installed ftfy and Python; the code of crates/cleaning is our own.

Usage: cleaning_tables.py            (with ftfy 6.3.1; writes crates/cleaning/src/tables.rs and crates/cleaning/data/entities.txt)
"""

import html.entities
import re
import unicodedata
from pathlib import Path

import ftfy
from ftfy import badness, chardata

CRATE = Path(__file__).resolve().parents[2] / "crates/cleaning"
ENCODINGS = {
    "LATIN_1": "latin-1",
    "WINDOWS_1252": "sloppy-windows-1252",
    "WINDOWS_1251": "sloppy-windows-1251",
    "WINDOWS_1250": "sloppy-windows-1250",
    "WINDOWS_1253": "sloppy-windows-1253",
    "WINDOWS_1254": "sloppy-windows-1254",
    "WINDOWS_1257": "sloppy-windows-1257",
    "ISO_8859_2": "iso-8859-2",
    "MACINTOSH": "macroman",
    "CP437": "cp437",
}


def shown(character: str, escape: str) -> str:
    """A character itself where a reader can see it, else its number."""
    if character.isascii() and character.isprintable():
        return character
    if unicodedata.category(character)[0] in "CZM" or character == "\ufffd":
        return escape.format(ord(character))
    return character


def literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(shown(character, "\\u{{{:x}}}") for character in escaped) + '"'


def members(ranges: str) -> str:
    """The characters of the inside of a class such as `a-cx`, each once."""
    found = []
    at = 0
    while at < len(ranges):
        if at + 2 < len(ranges) and ranges[at + 1] == "-":
            found += [chr(code) for code in range(ord(ranges[at]), ord(ranges[at + 2]) + 1)]
            at += 3
        else:
            found.append(ranges[at])
            at += 1
    return "".join(sorted(set(found)))


def plain_pattern(verbose: str) -> str:
    """A verbose pattern of Python without its spaces and comments, for Rust's regular expressions, which have other meanings of
    `\\s` and `\\w`."""
    out, inside, at = [], False, 0
    while at < len(verbose):
        character = verbose[at]
        if character == "\\":
            escape = verbose[at : at + 2]
            if escape == "\\x":
                out.append(f"\\x{{{verbose[at + 2 : at + 4]}}}")
                at += 4
                continue
            out.append({"\\s": r"\s\x{1c}-\x{1f}" if inside else r"[\s\x{1c}-\x{1f}]", "\\w": r"[\p{L}\p{N}_]"}[escape])
            at += 2
            continue
        if not inside and character == "#":
            at = verbose.index("\n", at)
            continue
        if character == "[":
            inside = True
        elif character == "]":
            inside = False
        if inside or not character.isspace():
            out.append(shown(character, "\\x{{{:x}}}"))
        at += 1
    return "".join(out)


def main() -> None:
    assert ftfy.__version__ == "6.3.1", ftfy.__version__
    assert [name for name in ENCODINGS.values()] == chardata.CHARMAP_ENCODINGS, "the order counts"
    lines = [
        "//! Written by `tools/reference/cleaning_tables.py`; do not edit.",
        "//!",
        f"//! Characters and patterns are those of ftfy {ftfy.__version__} (Copyright 2023 Robyn Speer, Apache License 2.0, which stands in",
        "//! `crates/cleaning/data/LICENSE-ftfy`), with its comments left out and `\\s` and `\\w` written as Python means them.",
        "",
    ]

    def add(what: str, name: str, value: str) -> None:
        lines.extend([f"/// {what}", "#[rustfmt::skip]", f"pub(crate) const {name}: {value};", ""])

    for name, encoding in ENCODINGS.items():
        upper = bytes(range(0x80, 0x100)).decode(encoding)
        assert len(upper) == 128
        add(f"Characters of the bytes 0x80 to 0xFF in {encoding.removeprefix('sloppy-')}.", name, f"&str = {literal(upper)}")
    clues = chardata.UTF8_CLUES
    add("Characters that stand for the first of two bytes of UTF-8.", "FIRST_OF_2", f"&str = {literal(members(clues['utf8_first_of_2']))}")
    add("Characters that stand for the first of three bytes.", "FIRST_OF_3", f"&str = {literal(members(clues['utf8_first_of_3']))}")
    add("Characters that stand for the first of four bytes.", "FIRST_OF_4", f"&str = {literal(members(clues['utf8_first_of_4']))}")
    add("Characters that stand for a later byte.", "LATER", f"&str = {literal(members(clues['utf8_continuation']))}")
    add("Those of them that seldom stand for themselves.", "LATER_STRICT", f"&str = {literal(members(clues['utf8_continuation_strict']))}")
    ligatures = ", ".join(f"({literal(chr(code))[1:-1]!r}, {literal(text)})" for code, text in chardata.LIGATURES.items())
    add("Ligatures of Latin letters, and the letters.", "LIGATURES", f"&[(char, &str)] = &[{ligatures}]")
    pattern = plain_pattern(badness.BADNESS_RE.pattern)
    assert '"' not in pattern
    add("Sequences that hardly occur but in wrongly decoded text.", "SUSPICIOUS", f'&str = r"{pattern}"')
    (CRATE / "src/tables.rs").write_text("\n".join(lines).rstrip() + "\n")
    entities = sorted(html.entities.html5.items())
    assert all(re.fullmatch(r"[0-9A-Za-z]+;?", name) for name, _ in entities)
    text = "".join(f"{name}\t{' '.join(f'{ord(character):x}' for character in value)}\n" for name, value in entities)
    (CRATE / "data/entities.txt").write_text(text)


if __name__ == "__main__":
    main()

"""Texts that are hard to tokenize, and what OpenCLIP makes of them.

Usage: tokens.py golden OUT          300 texts with their cleaned form, JSON (crates/cleaning/tests/data/cleaned.json)
       tokens.py corpus OUT [N]      N texts (10,000) with their cleaned form and their ids, one JSON object a line

With open_clip_torch and ftfy 6.3.1. Texts have characters that Unicode 14 knows, which is Python 3.11's: characters of later
versions have no case and no composition there. `cargo run --release -p headspan-model --example tokens -- OUT TOKENIZER` compares.
"""

import json
import random
import sys
import unicodedata

import ftfy
from open_clip.tokenizer import SimpleTokenizer, basic_clean, whitespace_clean

WORDS = "a photo of the dog's ball, two red cats; it's 3rd-rate & they've won't x2 (close-up) #tag @user 50% off".split()
ENTITIES = ["&amp;", "&amp;amp;", "&lt;b&gt;", "&quot;", "&#39;", "&#x27;", "&nbsp;", "&eacute;", "&EACUTE;", "&copy", "&copysr;", "&notin;", "&notit;",
            "&NotEqualTilde;", "&#8217;", "&#x1F600;", "&#xD800;", "&#0;", "&#128;", "&#x110000;", "&#99999999;", "&bogus;", "&;", "&#;", "&#x;", "&SZLIG;", "&hellip;",
            "&acE;", "&frac12;", "&AMP", "&lt", "&rsquo;", "&shy;", "&zwj;", "&NTILDE;", "&#13;", "&#10;", "&Tab;", "<br>", "<", ">", "&amp;eacute;", "&amp;lt;"]
PHRASES = ["l'humanité naïve", "schöne Grüße aus Köln", "Жили-были дед и баба", "Ελληνικά ΣΟΦΟΣ", "こんにちは世界", "한국어 문장", "日本語のテキスト", "مرحبا بالعالم",
           "שלום עולם", "हिन्दी पाठ", "ไทยภาษา", "“curly” ‘quotes’ — dash… ™", "Ł ó d ź, Čeština, Magyar ő ű", "İstanbul ıssız ŞĞ", "😀👩‍👩‍👧‍👦🏳️‍🌈🇩🇪", "½ ² ³ № ℃ ™ ® ©", "ﬁ ﬂ ﬄ ĳ Ǆ ŉ",
           "ＦＵＬＬ　ｗｉｄｔｈ １２３", "ﾊﾝｶｸ ｶﾀｶﾅ", "e\u0301 a\u030a o\u0308 ñ\u0303", "Ａ\u0301", "\u202eRTL\u202c \u200fmark\u200e", "zero\u200bwidth\u200djoin\ufeffbom", "soft\u00adhyphen nb\u00a0space", "ſtrange ſ ΐ ŉ ǰ",
           "K Å Ω", "à la mode", "voilà", "Ωμέγα ς Σ", "ΟΔΥΣΣΕΥΣ ΑΣ.", "ẞ ß SS", "ΆΈΉ", "ǅ ǲ"]
CONTROLS = [chr(code) for code in [*range(0x20), 0x7F, *range(0x80, 0xA0), 0x2028, 0x2029, 0x200B, 0x200C, 0x200D, 0x206A, 0xFFF9, 0xFFFC, 0xFFFD, 0xE0001, 0xF8FF]]
SPACES = ["  ", "\t", "\n", "\r\n", "\r", "\u3000", "\u00a0", "\u2003", "\u0085", "\x1c", "\x1f", "\u1680", "\u202f", "\u180e"]
SPECIAL = ["<start_of_text>", "<end_of_text>", "<|startoftext|>", "<|endoftext|>", "<END_OF_TEXT>", "</w>", "Ġ", "Ĉ", "\x1b[31mred\x1b[0m", "\x1b[1;2", "http://a.b/c?d=1&e=2", "&reg", "R&D;", "AT&T"]
MISTAKES = ["latin-1", "windows-1252", "windows-1251", "windows-1250", "windows-1253", "windows-1254", "windows-1257", "iso-8859-2", "macroman", "cp437",
            "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250"]


def pools_of_characters() -> list[list[str]]:
    """All characters, those of Latin alphabets, and those of the first planes of scripts."""
    known = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
    return [known, [character for character in known if ord(character) < 0x250], [character for character in known if ord(character) < 0x3000]]


def any_characters(source: random.Random, pools: list[list[str]], count: int) -> str:
    pool = source.choice(pools)
    return "".join(source.choice(pool) for _ in range(count))


def mistaken(source: random.Random, text: str) -> str:
    """UTF-8 read by another encoding, once or twice, sometimes with losses."""
    for _ in range(source.choice([1, 1, 1, 2, 3])):
        try:
            text = text.encode("utf-8").decode(source.choice(MISTAKES), errors=source.choice(["strict", "replace"]))
        except UnicodeError:
            break
    loss = source.random()
    if loss < 0.15:
        text = text.replace("\u00a0", " ")
    elif loss < 0.25:
        text = "".join("?" if source.random() < 0.05 else character for character in text)
    elif loss < 0.35:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def cesu(text: str) -> str:
    """Characters above U+FFFF as surrogates in UTF-8, read as Windows-1252."""
    units = text.encode("utf-16-le")
    pairs = [chr(int.from_bytes(units[at : at + 2], "little")) for at in range(0, len(units), 2)]
    return "".join(pairs).encode("utf-8", "surrogatepass").decode("latin-1")


def piece(source: random.Random, pools: list[list[str]]) -> str:
    kind = source.randrange(12)
    if kind <= 2:
        return source.choice(WORDS)
    if kind == 3:
        return source.choice(ENTITIES)
    if kind == 4:
        return source.choice(PHRASES)
    if kind == 5:
        return mistaken(source, source.choice(PHRASES))
    if kind == 6:
        return source.choice(CONTROLS)
    if kind == 7:
        return source.choice(SPACES)
    if kind == 8:
        return source.choice(SPECIAL)
    if kind == 9:
        return any_characters(source, pools, source.randint(1, 6))
    if kind == 10:
        return mistaken(source, any_characters(source, pools, source.randint(1, 5)))
    return cesu(source.choice(["😀 ok", "𝒥ohn", "🇩🇪"])) if source.random() < 0.3 else "Ã©t".join(source.choice(["Â", "Ã ", "â€™", "Ð", "ã\x83\x84", ""]) for _ in range(3))


def texts(count: int, seed: int) -> list[str]:
    source, pools = random.Random(seed), pools_of_characters()
    found: dict[str, None] = {}
    for text in [*PHRASES, *ENTITIES, *SPECIAL, *CONTROLS, *SPACES, ""]:
        found[text] = None
    while len(found) < count:
        length = source.choice([1, 2, 3, 4, 6, 10]) if source.random() < 0.98 else source.choice([100, 400])
        text = source.choice(["", " "]).join(piece(source, pools) for _ in range(length))
        found[text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")] = None
    return list(found)[:count]


def main() -> None:
    assert ftfy.__version__ == "6.3.1", ftfy.__version__
    mode, out = sys.argv[1:3]
    if mode == "golden":
        hard = [text for text in texts(4_000, 1) if whitespace_clean(text) != whitespace_clean(basic_clean(text)) and len(text) < 120]
        chosen = random.Random(2).sample(hard, 270) + [text for text in texts(300, 3) if len(text) < 120][:30]
        rows = [[text, whitespace_clean(basic_clean(text))] for text in chosen]
        with open(out, "w", encoding="utf-8") as file:
            json.dump(rows, file, ensure_ascii=True, indent=0)
            file.write("\n")
        return
    tokenizer = SimpleTokenizer()
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
    with open(out, "w", encoding="utf-8") as file:
        for text in texts(count, 0):
            ids = [int(token) for token in tokenizer([text])[0]]
            row = {"text": text, "cleaned": whitespace_clean(basic_clean(text)), "ids": ids[: ids.index(tokenizer.eot_token_id, 1) + 1] if tokenizer.eot_token_id in ids else ids}
            file.write(json.dumps(row, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()

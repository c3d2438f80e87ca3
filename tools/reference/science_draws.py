"""The random sets of heads of `headspan ablate`, `repair` and `prune`, drawn anew: ChaCha with 8 rounds (Bernstein 2008), seeded as Rust's `rand_core`
does, one stream for each task and draw, and a partial Fisher-Yates shuffle."""

from collections.abc import Iterator

WORD, LONG = (1 << 32) - 1, (1 << 64) - 1
QUARTERS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


def turned(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & WORD


def key_of(seed: int) -> list[int]:
    """Eight words from a number, by PCG32 (O'Neill 2014)."""
    words = []
    for _ in range(8):
        seed = (seed * 0x5851F42D4C957F2D + 0xA17654E46FBE17F3) & LONG
        words.append(turned((((seed >> 18) ^ seed) >> 27) & WORD, (32 - (seed >> 59)) % 32))
    return words


def block(key: list[int], counter: int, stream: int) -> list[int]:
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *key, counter & WORD, counter >> 32, stream & WORD, stream >> 32]
    x = list(start)
    for _ in range(4):
        for a, b, c, d in QUARTERS:
            for one, other, bits in ((a, d, 16), (c, b, 12), (a, d, 8), (c, b, 7)):
                added = b if one == a else d
                x[one] = (x[one] + x[added]) & WORD
                x[other] = turned(x[other] ^ x[one], bits)
    return [(now + before) & WORD for now, before in zip(x, start)]


def longs(seed: int, stream: int) -> Iterator[int]:
    key, counter = key_of(seed), 0
    while True:
        words = block(key, counter, stream)
        counter += 1
        yield from (low | high << 32 for low, high in zip(words[::2], words[1::2]))


def below(numbers: Iterator[int], count: int) -> int:
    """A number from 0 to `count` - 1, by Canon's method with one step."""
    product = next(numbers) * count
    result, low = product >> 64, product & LONG
    if low > (-count & LONG):
        result += (low + (next(numbers) * count >> 64)) >> 64
    return result


def draw_heads(all_heads: int, count: int, seed: int, task: int, draw: int) -> list[int]:
    """Positions of `count` different heads."""
    numbers, heads = longs(seed, task << 32 | draw), list(range(all_heads))
    for place in range(min(count, all_heads)):
        other = place + below(numbers, all_heads - place)
        heads[place], heads[other] = heads[other], heads[place]
    return heads[:count]

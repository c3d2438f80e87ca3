"""Writes the tables of docs/scale.md from measured rates, stated assumptions and list prices.

    python3 tools/scale/costs.py docs/scale.md            # writes them
    python3 tools/scale/costs.py --check docs/scale.md    # fails if they are out of date
    python3 -m doctest tools/scale/costs.py

Rates are in models.csv, cards in cards.csv, prices in prices.csv, beside this file. A row of prices names its source and the day on which
it was read. It needs the standard library alone.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN = "<!-- tables: written by tools/scale/costs.py -->"
END = "<!-- end of the tables -->"

SIZES = [10**exponent for exponent in range(5, 10)]
PART = 1024
MIB = 2**20
# Measured: mean size of the photos of benches/RESULTS.md, and images that one core of a Zen 5 decodes and resizes in a second.
IMAGE_BYTES = 24_000
DECODED = 1264
# A member of a tar has a header, and ends at a multiple of 512 bytes.
TAR_BYTES = 512 + 256
# Assumptions, all named on the page.
BLOCK = 2 * MIB
TAR_OF_DATA = 10**9
LISTED = 1000
SHARE_OF_PEAK = 0.4
# The machine that is rented for its processors; its cores are of the generation that was measured.
PROCESSORS = "c8a.xlarge"
PROCESSOR_CORES = 4
# Tables and records of a run, beside its parts.
FILES_OF_RUN = 16


@dataclass(frozen=True)
class Model:
    """An architecture, whose two models cost the same."""

    architecture: str
    gflop: float
    zen5_extract: float
    zen5_bfloat16: float
    emerald_rapids: float
    stored_bytes: int
    heads: int
    head_dim: int
    d: int
    merged: float

    def table_bytes(self) -> int:
        """Moments and readouts, whose size does not depend on the number of images.

        >>> Model("a", 1, 1, 1, 1, 1, heads=64, head_dim=64, d=768, merged=1).table_bytes()
        15505408
        """
        u = self.head_dim + 3
        return self.heads * (8 * (u * u + u) + 4 * self.d * u)


@dataclass(frozen=True)
class Card:
    """A card, and the machine that is rented with it."""

    card: str
    instance: str
    cards: int
    cores: int
    float32_tflops: float

    def images_per_second(self, model: Model) -> float:
        """What the arithmetic allows at the assumed share of the peak, or what the machine's processors decode for the card.

        >>> l4 = Card("L4", "g6.xlarge", 1, 2, 30.3)
        >>> round(l4.images_per_second(Model("a", 8.2, 1, 1, 1, 1, 1, 1, 1, 1)))
        1478
        >>> round(l4.images_per_second(Model("a", 0.1, 1, 1, 1, 1, 1, 1, 1, 1)))
        2528
        """
        computed = SHARE_OF_PEAK * self.float32_tflops * 1000 / model.gflop
        return min(computed, self.cores / self.cards * DECODED)


@dataclass(frozen=True)
class Price:
    """A list price."""

    name: str
    dollars: float
    unit: str
    what: str
    source: str
    read_on: str


@dataclass(frozen=True)
class Traffic:
    """Bytes and requests of one extraction, images and run in the same kind of store."""

    read: int
    written: int
    gets: int
    merge_gets: int
    puts: int
    lists: int


def traffic(model: Model, images: int) -> Traffic:
    """The images are read once, each part is put twice, and the merge of `keep = "all"` reads every part again.

    >>> model = Model("a", 1, 1, 1, 1, 20_000, 64, 64, 768, 1)
    >>> one = traffic(model, 100_000)
    >>> one.read, one.written, one.puts, one.lists
    (2476800000, 2015505408, 212, 4)
    >>> traffic(model, 10**6).read == 10 * one.read
    True
    """
    parts = -(-images // PART)
    read = images * (IMAGE_BYTES + TAR_BYTES)
    tars = -(-read // TAR_OF_DATA)
    # A part begins and ends within a block, which two shards then read.
    blocks = math.ceil(read / BLOCK) + parts
    # A part is opened by its footer, then its columns are read, and its image rows.
    again = math.ceil(images * model.stored_bytes / BLOCK) + 3 * parts
    return Traffic(
        read=read,
        written=images * model.stored_bytes + model.table_bytes(),
        gets=blocks,
        merge_gets=again,
        puts=2 * parts + FILES_OF_RUN,
        lists=-(-tars // LISTED) + 2 * -(-parts // LISTED) + 1,
    )


def rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def models() -> list[Model]:
    return [
        Model(
            architecture=row["architecture"],
            gflop=float(row["gflop"]),
            zen5_extract=float(row["zen5_extract"]),
            zen5_bfloat16=float(row["zen5_bfloat16"]),
            emerald_rapids=float(row["emerald_rapids"]),
            stored_bytes=int(row["stored_bytes"]),
            heads=int(row["heads"]),
            head_dim=int(row["head_dim"]),
            d=int(row["d"]),
            merged=float(row["zen3_merged"]),
        )
        for row in rows("models.csv")
    ]


def cards() -> list[Card]:
    return [
        Card(row["card"], row["instance"], int(row["cards"]), int(row["cores"]), float(row["float32_tflops"]))
        for row in rows("cards.csv")
    ]


def prices() -> dict[str, Price]:
    found = (
        Price(row["name"], float(row["dollars"]), row["unit"], row["what"], row["source"], row["read_on"])
        for row in rows("prices.csv")
    )
    return {price.name: price for price in found}


def figure(value: float) -> str:
    """Two digits, or all digits before the point.

    >>> [figure(value) for value in (0.0004, 0.0123, 0.5, 5.328, 53.28, 532.8, 5328.4, 4)]
    ['< 0.001', '0.012', '0.50', '5.3', '53', '533', '5,328', '4']
    """
    if value < 0.001:
        return "< 0.001"
    if isinstance(value, int):
        return f"{value:,}"
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def bytes_of(value: float) -> str:
    """Bytes in decimal units.

    >>> [bytes_of(value) for value in (15505408, 2476800000, 1.9e12, 24768 * 10**9)]
    ['16 MB', '2.5 GB', '1.9 TB', '25 TB']
    """
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if value >= size:
            return f"{figure(value / size)} {unit}"
    return f"{figure(value / 1e6)} MB"


def time_of(hours: float) -> str:
    """A time in the unit that suits it.

    >>> [time_of(hours) for hours in (0.001, 0.5, 5.0, 100.0, 20_000.0)]
    ['3.6 s', '30 min', '5.0 h', '100 h', '20,000 h']
    """
    if hours < 1 / 60:
        return f"{figure(hours * 3600)} s"
    return f"{figure(hours * 60)} min" if hours < 1 else f"{figure(hours)} h"


def power(images: int) -> str:
    """A power of ten as the page writes it.

    >>> power(10**6)
    '10⁶'
    """
    return "10" + "⁰¹²³⁴⁵⁶⁷⁸⁹"[round(math.log10(images))]


def table(head: list[str], lines: Iterable[list[str]]) -> str:
    body = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in body)


def by_size(head: list[str], cells: Callable[[Model, int], list[str]]) -> str:
    """A row for each architecture and each number of images."""
    lines = [
        [model.architecture, power(images), *cells(model, images)] for model in models() for images in SIZES
    ]
    return table(["architecture", "images", *head], lines)


def core_hours(model: Model, images: int) -> float:
    """Hours of one core of a Zen 5, of the two for which the rate was measured."""
    return 2 * images / model.zen5_extract / 3600


def card_hours(card: Card, model: Model, images: int) -> float:
    return images / card.images_per_second(model) / 3600


def hours_table() -> str:
    own = cards()

    def cells(model: Model, images: int) -> list[str]:
        other = 2 * images / model.emerald_rapids / 3600
        half = 2 * images / model.zen5_bfloat16 / 3600
        measured = [time_of(core_hours(model, images)), time_of(half), time_of(other)]
        return [*measured, *(time_of(card_hours(card, model, images)) for card in own)]

    measured = [
        "core hours, Zen 5",
        "core hours, Zen 5, bfloat16, pass alone",
        "core hours, Emerald Rapids, pass alone",
    ]
    return by_size([*measured, *(f"{card.card} hours, estimate" for card in own)], cells)


def traffic_table() -> str:
    def cells(model: Model, images: int) -> list[str]:
        one = traffic(model, images)
        return [
            bytes_of(one.read),
            bytes_of(one.written),
            bytes_of(model.table_bytes()),
            figure(one.gets),
            figure(one.merge_gets),
            figure(one.puts),
            figure(one.lists),
        ]

    head = [
        "read",
        'written, `keep = "all"`',
        'written, `keep = "moments"`',
        "GET",
        'GET of the merge, `"all"`',
        "PUT",
        "LIST",
    ]
    return by_size(head, cells)


def merge_table() -> str:
    head = ['core hours, Zen 3, `keep = "all"`', "bytes read again"]
    return by_size(
        head,
        lambda model, images: [time_of(images / model.merged / 3600), bytes_of(images * model.stored_bytes)],
    )


def dollars_of_requests(one: Traffic, price: dict[str, Price]) -> float:
    return (
        (one.gets + one.merge_gets) * price["get"].dollars + (one.puts + one.lists) * price["put"].dollars
    ) / 1000


def dollars_table() -> str:
    price, own = prices(), cards()

    def cells(model: Model, images: int) -> list[str]:
        one = traffic(model, images)
        on_cards = [
            card_hours(card, model, images) * price[card.instance].dollars / card.cards for card in own
        ]
        on_processors = core_hours(model, images) * price[PROCESSORS].dollars / PROCESSOR_CORES
        kept = [one.written, model.table_bytes()]
        stored = [bytes_kept / 1e9 * price["storage"].dollars for bytes_kept in kept]
        return [
            figure(value) for value in [on_processors, *on_cards, dollars_of_requests(one, price), *stored]
        ]

    compute = [PROCESSORS, *(f"{card.card}, estimate" for card in own)]
    head = [*compute, "requests", 'a month of storage, `"all"`', 'a month of storage, `"moments"`']
    return by_size(head, cells)


def six_models_table() -> str:
    """All six models: each architecture twice."""
    price, own = prices(), cards()

    def line(images: int) -> list[str]:
        of_all = [(model, traffic(model, images)) for model in models() for _ in range(2)]
        cores = sum(core_hours(model, images) for model, _ in of_all)
        hours = [sum(card_hours(card, model, images) for model, _ in of_all) for card in own]
        dollars = [cores * price[PROCESSORS].dollars / PROCESSOR_CORES]
        dollars += [
            spent * price[card.instance].dollars / card.cards for card, spent in zip(own, hours, strict=True)
        ]
        requests = sum(dollars_of_requests(one, price) for _, one in of_all)
        return [
            power(images),
            time_of(cores),
            *(time_of(spent) for spent in hours),
            bytes_of(sum(one.read for _, one in of_all)),
            bytes_of(sum(one.written for _, one in of_all)),
            *(figure(value) for value in [*dollars, requests]),
        ]

    head = ["images", "core hours, Zen 5", *(f"{card.card} hours, estimate" for card in own)]
    head += [
        "read",
        "written",
        f"$ {PROCESSORS}",
        *(f"$ {card.card}, estimate" for card in own),
        "$ requests",
    ]
    return table(head, map(line, SIZES))


def rates_table() -> str:
    lines = [
        [
            model.architecture,
            f"{model.gflop:g}",
            f"{model.zen5_extract:g}",
            f"{model.zen5_bfloat16:g}",
            f"{model.emerald_rapids:g}",
            *(figure(card.images_per_second(model)) for card in cards()),
            f"{model.stored_bytes:,}",
            figure(model.merged),
        ]
        for model in models()
    ]
    measured = [
        "2 cores, Zen 5",
        "2 cores, Zen 5, bfloat16, pass alone",
        "2 cores, Emerald Rapids, pass alone",
    ]
    head = ["images/s", "GFLOP per image", *measured, *(f"{card.card}, estimate" for card in cards())]
    return table([*head, "bytes per image, `all`", "joined, one core, Zen 3"], lines)


def prices_table() -> str:
    lines = [
        [f"`{one.name}`", f"{one.dollars:g}", one.unit, one.what, one.source, one.read_on]
        for one in prices().values()
    ]
    return table(["", "$", "per", "what", "source", "read on"], lines)


def tables() -> str:
    sections = [
        ("Rates", rates_table()),
        ("Hours", hours_table()),
        ("Bytes and requests", traffic_table()),
        ("Merge", merge_table()),
        ("Dollars", dollars_table()),
        ("All six models", six_models_table()),
        ("Prices", prices_table()),
    ]
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in sections)


def main() -> None:
    check, path = "--check" in sys.argv, Path(sys.argv[-1])
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    if not rest:
        sys.exit(f"{path} has no line {BEGIN}")
    after = rest.partition(END)[2]
    written = f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"
    if not check:
        path.write_text(written, encoding="utf-8")
    elif written != page:
        sys.exit(f"the tables in {path} are out of date: run python3 tools/scale/costs.py {path}")


if __name__ == "__main__":
    main()

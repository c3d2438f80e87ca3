"""Tables that Polars, pandas, DuckDB and pyarrow take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headspan import _html
from headspan._errors import HeadspanError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from headspan._native import Table

_SHOWN = 10
_CELL = 60


class Frame:
    """A table in memory.

    It has the Arrow PyCapsule interface, so that ``polars.DataFrame(frame)``, ``pyarrow.table(frame)``, ``duckdb`` and
    ``pandas.DataFrame.from_arrow(frame)`` read it without a copy of the columns. :meth:`pl` and :meth:`pd` do that in one word.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self._table.columns

    def pl(self) -> polars.DataFrame:
        """As a Polars frame."""
        import polars

        return polars.DataFrame(self)

    def pd(self) -> pandas.DataFrame:
        """As a pandas frame."""
        import pandas

        from_arrow = getattr(pandas.DataFrame, "from_arrow", None)
        if from_arrow is not None:
            frame: pandas.DataFrame = from_arrow(self)
            return frame
        try:
            return self.arrow().to_pandas()
        except ImportError as error:
            hint = "install pandas 3 or later, or pyarrow"
            raise HeadspanError("this pandas reads Arrow tables through pyarrow alone", hint) from error

    def arrow(self) -> pyarrow.Table:
        """As a pyarrow table."""
        import pyarrow

        return pyarrow.table(self)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> Any:
        return self._table.__arrow_c_schema__()

    def __len__(self) -> int:
        return len(self._table)

    def cells(self, rows: int | None = None) -> list[dict[str, str]]:
        """The first rows (default: all) as text, one mapping from column to cell a row; "" where there is no value.

        It needs no other package. For values use :meth:`pl`, :meth:`pd` or :meth:`arrow`.
        """
        count = len(self) if rows is None else min(rows, len(self))
        return [dict(zip(self.columns, row)) for row in self._table.cells(count)]

    def __repr__(self) -> str:
        rows = [[_short(cell) for cell in row] for row in (self.columns, *self._table.cells(_SHOWN))]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        if len(self) >= len(rows):
            lines.append(f"… {len(self) - len(rows) + 1} more rows")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return _html.page(_html.frame(self))


def _short(cell: str) -> str:
    """A cell on one line: an embedding has hundreds of numbers."""
    line = " ".join(cell.split())
    return line if len(line) <= _CELL else line[: _CELL - 1] + "…"

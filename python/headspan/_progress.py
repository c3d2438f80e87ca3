"""Progress of the pipeline: bars of tqdm in notebooks and terminals, or a function of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from headspan._native import News

#: True for bars, False for none, or a function that is called with (task, unit, done, total).
Progress = Union[bool, Callable[[str, str, int, int], None]]


class Bars:
    """One tqdm bar a task. Without tqdm there are none."""

    def __init__(self) -> None:
        self._bars: dict[int, Any] = {}

    def __call__(self, news: list[News]) -> None:
        """Shows what is new; a total of 0 ends a task."""
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        for number, task, unit, done, total in news:
            bar = self._bars.get(number)
            if total == 0:
                if bar is not None:
                    bar.close()
                continue
            if bar is None:
                scale = unit == "bytes"
                bar = tqdm(desc=task, unit=f" {unit}", total=total, unit_scale=scale)
                self._bars[number] = bar
            bar.total = total
            bar.update(done - bar.n)

    def close(self) -> None:
        """Leaves the bars as they are."""
        for bar in self._bars.values():
            bar.close()


def told(progress: Callable[[str, str, int, int], None]) -> Callable[[list[News]], None]:
    """Calls a function of the user's for each task that advanced."""

    def tell(news: list[News]) -> None:
        for _, task, unit, done, total in news:
            if total > 0:
                progress(task, unit, done, total)

    return tell

"""The figures of a bench as tables, for the terminal and for an HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from raybatch.bench.contenders import LIMITS, RAYBATCH
from raybatch.bench.report import (
    compares_pixels,
    has_other_pixels,
    marked_title,
    shortest_s,
    task,
    timed,
)
from raybatch.checks import counted
from raybatch.cli.pages import data_uri, write_page

_NOTES = (
    "÷ this: raybatch's rate divided by the rate in this row, in the same round.",
    (
        "start: time until the first batch of the run. first batch: time until the first batch of a"
        " later epoch."
    ),
)
_OTHER_PIXELS = "*: the pixels differ from the plain loop's, by design."
_UNCOMPARED = (
    "Pixels are not compared: each library has its own decoder, filter and random numbers. Shape,"
    " dtype, range and the means of many draws agree with the plain loop."
)
# If there are more columns of ratios than this, the ranges of the ratios do not fit.
_WIDE = 2
# A shorter run says little: CPU time is sampled four times a second, and some batches are made
# before the clock starts.
_SHORT_S = 1.0
_TOO_SHORT = (
    "The fastest contender ran for only {:.2g} s, which is too short for a comparison: use more"
    " --images or --epochs."
)


class NumberTable(NamedTuple):
    """A table: heads for the columns of numbers, and rows that start with a contender's title."""

    heads: list[str]
    rows: list[list[str]]

    def part(self, start: int, end: int | None) -> NumberTable:
        """Return a table of the columns of numbers from `start` up to `end`."""
        rows = [[title, *numbers[start:end]] for title, *numbers in self.rows]
        return NumberTable(self.heads[start:end], rows)


def shown(report: dict[str, Any]) -> Iterator[RenderableType]:
    """Iterate over the parts to print: timed contenders, fastest first, then the others."""
    if warning := _warning(report):
        yield Text(warning, "bold red")
    yield f"{_subject(report)}:"
    rates = _rates(report)
    # The rates and ratios together would not fit on a terminal of 80 columns.
    for numbers in (rates.part(0, 1), rates.part(1, None), _costs(report)):
        table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        table.add_column("", no_wrap=True)
        for head in numbers.heads:
            table.add_column(head, justify="right", no_wrap=True)
        for row in numbers.rows:
            table.add_row(*row)
        yield table
    yield from _notes(report)
    for row in report["contenders"]:
        if row["state"] != "right":
            yield escape(f"{row['title']}: {row['state']}: {row['note']}")


def write_bench_page(report: dict[str, Any], path: Path) -> None:
    """Write the report of a bench to `path`."""
    contenders = report["contenders"]
    # The versions of raybatch and of the libraries that it uses.
    versions: dict[str, str] = dict(report["versions"])
    for row in contenders:
        versions |= row["versions"]
    write_page(
        path,
        "bench.html",
        subject=_subject(report),
        warning=_warning(report),
        plots=_plots(report) if timed(report) else {},
        tables=[_rates(report), _costs(report)],
        notes=_notes(report),
        own=[row["title"] for row in contenders if row["peer"] == "raybatch"],
        others=[row for row in contenders if row["state"] != "right"],
        machine=report["machine"],
        work=report["work"],
        versions=versions,
    )


def _plots(report: dict[str, Any]) -> dict[str, str]:
    """Return the plots for wide and narrow, light and dark pages."""
    from raybatch.bench.plot import svg  # loads matplotlib

    return {
        f"{'narrow' if stacked else 'wide'}_{'dark' if dark else 'light'}": data_uri(
            svg(report, stacked=stacked, dark=dark), "image/svg+xml"
        )
        for stacked in (False, True)
        for dark in (False, True)
    }


def _notes(report: dict[str, Any]) -> list[str]:
    """Return notes that explain the tables, one line each."""
    return [
        *_NOTES,
        *_leads(report),
        *([] if compares_pixels(report) else [_UNCOMPARED]),
        *([_OTHER_PIXELS] if has_other_pixels(report) else []),
    ]


def _warning(report: dict[str, Any]) -> str:
    """Return a warning if the figures are not meaningful, else ""."""
    seconds = shortest_s(report)
    return _TOO_SHORT.format(seconds) if 0 < seconds < _SHORT_S else ""


def _subject(report: dict[str, Any]) -> str:
    """Return the line above the tables that says what was measured."""
    cpus = counted(report["machine"]["cpus"], "CPU")
    rounds = counted(report["work"]["rounds"], "round")
    return f"{task(report)}, {cpus}. Median and range of {rounds}"


def _rates(report: dict[str, Any]) -> NumberTable:
    """Return the table of rates, and of raybatch's rate divided by each of them."""
    rows = timed(report)
    own = _own(report)
    form = _spread if len(own) <= _WIDE else _middle
    numbers = []
    for row in rows:
        each = [one["images_per_s"] for one in row["rounds"]]
        ratios = [row["ratios"][one["name"]] for one in own]
        numbers.append(
            [
                marked_title(row),
                _spread(row["images_per_s"], each, ".0f"),
                *(form(one["median"], one["rounds"], ".2f") for one in ratios),
            ]
        )
    return NumberTable(["images/s", *(f"{_short(row)} ÷ this" for row in own)], numbers)


def _own(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return raybatch's own contenders that the others are compared with, in the report's order."""
    timed_names = [row["name"] for row in timed(report)]
    return [
        row
        for row in report["contenders"]
        if row["peer"] == RAYBATCH
        and row["name"] in timed_names
        and row["same_pixels"] is not False
    ]


def _leads(report: dict[str, Any]) -> Iterator[str]:
    """Iterate over lines that compare raybatch's contenders with the fastest other library."""
    others = [row for row in timed(report) if row["peer"] not in (RAYBATCH, *LIMITS)]
    for row in _own(report) if others else []:
        ratio = others[0]["ratios"][row["name"]]
        low, high = min(ratio["rounds"]), max(ratio["rounds"])
        times = f"{ratio['median']:.2f} ({low:.2f}–{high:.2f})"
        yield (
            f"{row['title']}: {times} times the rate of {others[0]['title']}, the fastest other"
            " library."
        )


def _costs(report: dict[str, Any]) -> NumberTable:
    """Return the table of start-up times and of the resources that each contender uses."""
    return NumberTable(
        ["start", "first batch", "CPU s/1000 images", "peak MB"],
        [
            [
                marked_title(row),
                f"{row['start_s']:.2f} s",
                f"{row['first_batch_s']:.2f} s",
                f"{row['cpu_s_per_1000_images']:.2f}",
                f"{row['peak_mb']:.0f}",
            ]
            for row in timed(report)
        ],
    )


def _short(row: dict[str, Any]) -> str:
    return str(row["title"]).removeprefix("raybatch (").removesuffix(")")


def _middle(middle: float | None, values: list[float], form: str) -> str:
    return "-" if middle is None else f"{middle:{form}}"


def _spread(middle: float | None, values: list[float], form: str) -> str:
    if middle is None:
        return "-"
    return f"{middle:{form}}  {min(values):{form}}–{max(values):{form}}"

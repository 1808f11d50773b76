"""The figures of a bench as tables."""

from __future__ import annotations

from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from raybatch.bench.report_rows import has_other_pixels, marked_title, shortest_s, timed

_NOTES = (
    "÷ this: raybatch's rate over this one's in the same round.",
    "start: until the first batch of all. first batch: of a later epoch.",
)
_OTHER_PIXELS = "*: other pixels than the plain loop's, by design."
# CPU time is looked at four times a second, and some batches are made before the clock starts.
_SHORT_S = 1.0
_TOO_SHORT = "The fastest was timed for {:.2g} s only, which is too short to tell: take more --images or --epochs."


class Figures(NamedTuple):
    """A table: the heads of its columns of numbers, and rows that begin with a contender's title."""

    heads: list[str]
    rows: list[list[str]]


def print_report(console: Console, report: dict[str, Any]) -> None:
    """Print the contenders that were timed, the fastest first, and why others were not."""
    console.print(f"{subject(report)}:")
    console.print(_table(rates(report)))
    console.print(_table(costs(report)))
    for note in notes(report):
        console.print(note, highlight=False)
    for row in report["contenders"]:
        if row["state"] != "right":
            console.print(f"{row['title']}: {row['state']}: {row['note']}", markup=False)


def notes(report: dict[str, Any]) -> list[str]:
    """Return what to know about the tables, a line each."""
    seconds = shortest_s(report)
    return [
        *_NOTES,
        *([_OTHER_PIXELS] if has_other_pixels(report) else []),
        *([_TOO_SHORT.format(seconds)] if 0 < seconds < _SHORT_S else []),
    ]


def subject(report: dict[str, Any]) -> str:
    """Return what was done, in a line above the tables."""
    work = report["work"]
    height, width = work["size"]
    return (
        f"{work['images']} images → {width}×{height}, batches of {work['batch_size']}, {work['workers']} workers, "
        f"{report['machine']['cpus']} CPUs. Median and range of {work['rounds']} rounds"
    )


def rates(report: dict[str, Any]) -> Figures:
    """Return the rate of each, and raybatch's over it."""
    rows = timed(report)
    own = [row for row in rows if row["peer"] == "raybatch" and row["same_pixels"]]
    own.sort(key=lambda row: str(row["name"]))
    figures = []
    for row in rows:
        each = [one["images_per_s"] for one in row["rounds"]]
        ratios = [row["ratios"][one["name"]] for one in own]
        figures.append(
            [
                marked_title(row),
                _spread(row["images_per_s"], each, ".0f"),
                *(_spread(one["median"], one["rounds"], ".2f") for one in ratios),
            ]
        )
    return Figures(["images/s", *(f"{_short(row)} ÷ this" for row in own)], figures)


def costs(report: dict[str, Any]) -> Figures:
    """Return what each needs to begin, and what it uses."""
    return Figures(
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


def _table(figures: Figures) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("", no_wrap=True)
    for head in figures.heads:
        table.add_column(head, justify="right")
    for row in figures.rows:
        table.add_row(*row)
    return table


def _short(row: dict[str, Any]) -> str:
    return str(row["title"]).removeprefix("raybatch (").removesuffix(")")


def _spread(middle: float | None, values: list[float], form: str) -> str:
    if middle is None:
        return "-"
    return f"{middle:{form}}  {min(values):{form}}–{max(values):{form}}"

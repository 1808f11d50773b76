"""Plots the results."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib import rcParams, style
from matplotlib.figure import Figure

from raybatch.bench.contenders import LIMITS, RAYBATCH
from raybatch.bench.report import compares_pixels, has_other_pixels, marked_title, task, timed
from raybatch.checks import counted
from raybatch.stores.aside import written_aside

_OWN, _PEER, _LIMIT = "tab:orange", "tab:blue", "0.6"
_PANELS = (
    ("images_per_s", "images/s", 1.0),
    ("first_batch_s", "first batch of an epoch, ms", 1e3),
    ("cpu_s_per_1000_images", "CPU s per 1,000 images", 1.0),
    ("peak_mb", "peak memory, MB", 1.0),
)


def formats() -> list[str]:
    """Return the suffixes, without the dot, of the files that `plot` can write."""
    return sorted(Figure().canvas.get_supported_filetypes())


def plot(report: dict[str, Any], path: Path) -> None:
    """Plot the contenders of `report` that were timed side by side, fastest on top, into `path`."""
    figure = _figure(timed(report), _subject(report))
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=120)


def svg(report: dict[str, Any], *, stacked: bool, dark: bool) -> bytes:
    """Return the plot as an SVG without a title or background, for a light or a `dark` page.

    `stacked` puts the panels one above the other, for a narrow page.
    """
    drawn = io.BytesIO()
    with style.context("dark_background" if dark else "default"):
        figure = _figure(timed(report), stacked=stacked)
        figure.savefig(drawn, format="svg", transparent=True)
    return drawn.getvalue()


def _figure(rows: list[dict[str, Any]], title: str = "", *, stacked: bool = False) -> Figure:
    count = len(_PANELS)
    if stacked:
        figure = Figure(figsize=(5, (0.6 + 0.3 * len(rows)) * count), layout="constrained")
        panels = figure.subplots(count, 1)
    else:
        height = (1.6 if title else 0.8) + 0.36 * len(rows)
        figure = Figure(figsize=(13, height), layout="constrained")
        panels = figure.subplots(1, count, sharey=True, width_ratios=[2, 1, 1, 1])
    _draw(rows, panels)
    if title:
        figure.suptitle(title)
    return figure


def _draw(rows: list[dict[str, Any]], panels: Any) -> None:
    rows = rows[::-1]  # the first bar is drawn at the bottom
    for axes, (name, title, unit) in zip(panels, _PANELS, strict=True):
        values = [unit * row[name] for row in rows]
        axes.barh([marked_title(row) for row in rows], values, color=[_color(row) for row in rows])
        axes.set_xlabel(title)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        for height, row in enumerate(rows):
            each = [unit * one[name] for one in row["rounds"]]
            axes.plot(each, [height] * len(each), "|", color=rcParams["text.color"])


def _color(row: dict[str, Any]) -> str:
    if row["peer"] == RAYBATCH:
        return _OWN
    return _LIMIT if row["peer"] in LIMITS else _PEER


def _subject(report: dict[str, Any]) -> str:
    rounds = report["work"]["rounds"]
    text = f"{task(report)}:\nmedians of {counted(rounds, 'round')}; each mark is one round"
    if has_other_pixels(report):
        text += "; * other pixels"
    if not compares_pixels(report):
        text += "; pixels not compared"
    return text

"""The figures as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_OWN, _PEER, _LIMIT = "tab:orange", "tab:blue", "0.6"
_PANELS = (
    ("images_per_s", "images/s", 1.0),
    ("first_batch_s", "first batch of an epoch, ms", 1e3),
    ("cpu_s_per_1000_images", "CPU s per 1,000 images", 1.0),
    ("peak_mb", "peak memory, MB", 1.0),
)


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw the contenders of `report` that were timed side by side, the fastest on top, to `path`."""
    rows = sorted(
        (row for row in report["contenders"] if "rounds" in row),
        key=lambda row: float(row["images_per_s"]),
    )
    figure = Figure(figsize=(13, 1.6 + 0.36 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(_PANELS), sharey=True, width_ratios=[2, 1, 1, 1])
    for axes, (name, title, unit) in zip(panels, _PANELS, strict=True):
        values = [unit * row[name] for row in rows]
        axes.barh([_title(row) for row in rows], values, color=[_color(row) for row in rows])
        axes.set_xlabel(title)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        for height, row in enumerate(rows):
            each = [unit * one[name] for one in row["rounds"]]
            axes.plot(each, [height] * len(each), "k|")
    figure.suptitle(_subject(report))
    figure.savefig(path, dpi=120)


def _title(row: dict[str, Any]) -> str:
    return str(row["title"]) + ("" if row["same_pixels"] else " *")


def _color(row: dict[str, Any]) -> str:
    if row["peer"] == "raybatch":
        return _OWN
    return _LIMIT if row["peer"] in ("plain", "ceiling") else _PEER


def _subject(report: dict[str, Any]) -> str:
    work = report["work"]
    height, width = work["size"]
    text = (
        f"{work['images']} images → {width}×{height}, batches of {work['batch_size']}, "
        f"{work['workers']} workers: medians of {work['rounds']} rounds, each round a mark"
    )
    if not all(row["same_pixels"] for row in report["contenders"]):
        text += "; * other pixels"
    return text

"""The figures of a bench as tables."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def print_report(console: Console, report: dict[str, Any]) -> None:
    """Print the contenders that were timed, the fastest first, and why others were not."""
    work = report["work"]
    height, width = work["size"]
    console.print(
        f"{work['images']} images → {width}×{height}, batches of {work['batch_size']}, {work['workers']} workers, "
        f"{report['machine']['cpus']} CPUs. Median and range of {work['rounds']} rounds:"
    )
    rows = report["contenders"]
    timed = [row for row in rows if "rounds" in row]
    timed.sort(key=lambda row: -float(row["images_per_s"]))
    console.print(_rates(timed))
    console.print(_costs(timed))
    console.print("÷ this: raybatch's rate over this one's in the same round.", highlight=False)
    console.print("start: until the first batch of all. first batch: of a later epoch.")
    if not all(row["same_pixels"] for row in timed):
        console.print("*: other pixels than the plain loop's, by design.")
    for row in rows:
        if row["state"] != "right":
            console.print(f"{row['title']}: {row['state']}: {row['note']}", markup=False)


def _rates(rows: list[dict[str, Any]]) -> Table:
    own = [row for row in rows if row["peer"] == "raybatch" and row["same_pixels"]]
    own.sort(key=lambda row: str(row["name"]))
    table = _table("images/s", *(f"{_short(row)} ÷ this" for row in own))
    for row in rows:
        rates = [one["images_per_s"] for one in row["rounds"]]
        ratios = [row["ratios"][each["name"]] for each in own]
        table.add_row(
            _title(row),
            _spread(row["images_per_s"], rates, ".0f"),
            *(_spread(one["median"], one["rounds"], ".2f") for one in ratios),
        )
    return table


def _costs(rows: list[dict[str, Any]]) -> Table:
    table = _table("start", "first batch", "CPU s/1000 images", "peak MB")
    for row in rows:
        table.add_row(
            _title(row),
            f"{row['start_s']:.2f} s",
            f"{row['first_batch_s']:.2f} s",
            f"{row['cpu_s_per_1000_images']:.2f}",
            f"{row['peak_mb']:.0f}",
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _title(row: dict[str, Any]) -> str:
    return str(row["title"]) + ("" if row["same_pixels"] else " *")


def _short(row: dict[str, Any]) -> str:
    return str(row["title"]).removeprefix("raybatch (").removesuffix(")")


def _spread(middle: float | None, values: list[float], form: str) -> str:
    if middle is None:
        return "-"
    return f"{middle:{form}}  {min(values):{form}}–{max(values):{form}}"

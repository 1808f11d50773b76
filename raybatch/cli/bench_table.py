"""The figures of a bench as a table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_report(console: Console, report: dict[str, Any]) -> None:
    """Print the contenders that were timed, the fastest first, and why others were not."""
    work = report["work"]
    height, width = work["size"]
    console.print(
        f"{work['images']} images → {width}×{height}, batches of {work['batch_size']}, {work['workers']} "
        f"workers, {report['machine']['cpus']} CPUs; medians of {work['rounds']} rounds"
    )
    rows = report["contenders"]
    timed = [row for row in rows if "rounds" in row]
    own = [row for row in timed if row["peer"] == "raybatch" and row["same_pixels"]]
    table = Table("", "images/s", *(f"{_short(row)} ÷ this" for row in own))
    for title in ("start", "first batch", "CPU s per 1000", "peak MB"):
        table.add_column(title)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in sorted(timed, key=lambda row: -float(row["images_per_s"])):
        table.add_row(
            row["title"] + ("" if row["same_pixels"] else " *"),
            f"{row['images_per_s']:.0f}",
            *(_ratio(row["ratios"][each["name"]]) for each in own),
            f"{row['start_s']:.2f} s",
            f"{row['first_batch_s']:.2f} s",
            f"{row['cpu_s_per_1000_images']:.2f}",
            f"{row['peak_bytes'] / 1e6:.0f}",
        )
    console.print(table)
    console.print(
        "÷: the median of the rounds' ratios, and the lowest and highest. start: until the first batch of all; "
        "first batch: of a later epoch."
    )
    if not all(row["same_pixels"] for row in timed):
        console.print("*: other pixels than the plain loop, by design.")
    for row in rows:
        if row["state"] != "right":
            console.print(f"{row['title']}: {row['state']}: {row['note']}", markup=False)


def _short(row: dict[str, Any]) -> str:
    return str(row["title"]).removeprefix("raybatch (").removesuffix(")")


def _ratio(ratios: dict[str, Any]) -> str:
    if not ratios["rounds"]:
        return "-"
    return f"{ratios['median']:.2f} ({min(ratios['rounds']):.2f}–{max(ratios['rounds']):.2f})"

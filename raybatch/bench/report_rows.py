"""The contenders in a report, as tables and plots show them."""

from __future__ import annotations

from typing import Any


def timed(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the contenders of a report that were timed, the fastest first."""
    rows = [row for row in report["contenders"] if "rounds" in row]
    return sorted(rows, key=lambda row: -float(row["images_per_s"]))


def marked_title(row: dict[str, Any]) -> str:
    """Return the title of a contender, with an asterisk if its pixels are others."""
    return str(row["title"]) + ("" if row["same_pixels"] else " *")


def shortest_s(report: dict[str, Any]) -> float:
    """Return for how many seconds the fastest was timed in a round."""
    work, rows = report["work"], timed(report)
    return float(work["images"] * work["epochs"] / rows[0]["images_per_s"]) if rows else 0.0


def has_other_pixels(report: dict[str, Any]) -> bool:
    """Return whether one of those that were timed has an asterisk."""
    return not all(row["same_pixels"] for row in timed(report))

"""The figures of a bench as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raybatch.bench.plot import svg
from raybatch.cli.bench_table import costs, notes, rates, subject
from raybatch.cli.pages import data_uri, write_page


def write_bench_page(report: dict[str, Any], path: Path) -> None:
    """Write the report of a bench to `path`."""
    contenders = report["contenders"]
    write_page(
        path,
        "bench.html",
        subject=subject(report),
        plots=_plots(report) if any("rounds" in row for row in contenders) else {},
        tables=[rates(report), costs(report)],
        notes=notes(report),
        own=[row["title"] for row in contenders if row["peer"] == "raybatch"],
        others=[row for row in contenders if row["state"] != "right"],
        machine=report["machine"],
        work=report["work"],
        versions=_versions(report),
    )


def _plots(report: dict[str, Any]) -> dict[str, str]:
    """Return the figures drawn for wide and narrow, light and dark pages."""
    return {
        f"{'narrow' if stacked else 'wide'}_{'dark' if dark else 'light'}": data_uri(
            svg(report, stacked=stacked, dark=dark), "image/svg+xml"
        )
        for stacked in (False, True)
        for dark in (False, True)
    }


def _versions(report: dict[str, Any]) -> dict[str, str]:
    """Return the versions of raybatch, of what it stands on, and of the peers."""
    versions: dict[str, str] = dict(report["versions"])
    for row in report["contenders"]:
        versions |= row["versions"]
    return versions

"""The report of a scan, with its advice, as an HTML page."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.filesize import decimal

from raybatch.cli.pages import data_uri, write_page
from raybatch.cli.scan_advice import Advice
from raybatch.cli.scan_report import ScanReport
from raybatch.loader.loader import Loader
from raybatch.making.policy import BadSamples
from raybatch.sources.array import ArrayDataSource

_THUMBNAILS = 48
_EDGE = 160
_BINS = 24
_MOST_BARS = 12
_MOST_ROWS = 200


class Thumbnail(NamedTuple):
    """A small square from the middle of an image, as a data URI, and its caption."""

    uri: str
    number: int
    path: str
    name: str
    class_name: str


def write_scan_page(report: ScanReport, advised: Sequence[Advice], path: Path) -> None:
    """Write `report`, with the advice in `advised`, to `path`."""
    found = report.as_dict()
    write_page(
        path,
        "scan.html",
        found=found,
        bytes=decimal(found["bytes"]),
        copies=report.copies,
        advice=advised,
        unreadable=[sample.description for sample in report.bad],
        repeated=[list(map(report.titled, group)) for group in report.repeated],
        label_errors=[list(map(report.titled, group)) for group in report.label_errors],
        thumbnails=list(_thumbnails(report)),
        edge=_EDGE,
        classes=_bars(found["classes"]),
        formats=_bars(found["formats"]),
        modes=_bars(found["modes"]),
        histograms=[
            (f"{edge.capitalize()} in pixels", _histogram(report.facts[edge]))
            for edge in ("height", "width")
            if len(report.facts)
        ],
        most=_MOST_ROWS,
    )


def _thumbnails(report: ScanReport) -> Iterator[Thumbnail]:
    """Iterate over thumbnails of readable images, spread evenly over all of them."""
    readable = np.sort(report.indices)
    count = min(_THUMBNAILS, len(readable))
    if count == 0:
        return
    chosen = readable[np.linspace(0, len(readable) - 1, count).astype(int)]
    images = report.named.open((_EDGE, _EDGE), fit="crop", decode="scaled")
    source = ArrayDataSource([images], indices=chosen, include_indices=True)
    # A file may have been deleted since the scan.
    with Loader(source, count, bad_samples=BadSamples("skip", limit=None)) as loader:
        for indices, squares in loader:
            for index, square in zip(indices.tolist(), squares, strict=True):
                jpeg = io.BytesIO()
                Image.fromarray(square).save(jpeg, "JPEG", quality=80)
                uri = data_uri(jpeg.getvalue(), "image/jpeg")
                path, title = report.images.name_of(index), report.class_names[report.labels[index]]
                yield Thumbnail(uri, index, path, path.rpartition("/")[2], title)


def _bars(counts: dict[str, int]) -> dict[str, Any]:
    """Return bars for the most frequent of `counts`, and the number of others.

    A bar's length is in percent of the longest.
    """
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    longest = max(counts.values(), default=1) or 1  # 0 if no image is readable
    rows = [
        {"name": name, "count": count, "percent": round(100 * count / longest, 1)}
        for name, count in ordered[:_MOST_BARS]
    ]
    return {"rows": rows, "more": len(ordered) - len(rows)}


def _histogram(values: npt.NDArray[np.int32]) -> dict[str, Any]:
    """Return a histogram of `values`, with heights in percent of the highest."""
    low, high = int(values.min()), int(values.max())
    edges = np.linspace(low, high + 1, min(_BINS, high + 1 - low) + 1)
    counts, _ = np.histogram(values, edges)
    first, last = np.ceil(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int) - 1
    bins = [
        {"low": start, "high": end, "count": count, "percent": round(100 * count / counts.max(), 1)}
        for start, end, count in zip(first.tolist(), last.tolist(), counts.tolist(), strict=True)
    ]
    return {"low": low, "high": high, "bins": bins}

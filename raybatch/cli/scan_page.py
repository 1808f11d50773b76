"""What a scan found, and what to do about it, as an HTML page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.filesize import decimal

from raybatch.accessors import ImageFileAccessor
from raybatch.cli.pages import data_uri, write_page
from raybatch.cli.scan_report import ScanReport
from raybatch.loader import Loader
from raybatch.making import BadSamples
from raybatch.sources import ArrayDataSource
from raybatch.stores.listing import left_out_text

_THUMBNAILS = 48
_EDGE = 160
_BINS = 24
_MOST_BARS = 12
_MOST_ROWS = 200

# An image this many times as high and as wide as needed is decoded for nothing, for the most part.
_FAR_LARGER = 2
# Of two classes, one with so many times the images of the other drowns it.
_UNEQUAL = 10
_MANY = 0.25
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")


class Thumbnail(NamedTuple):
    """A small square out of the middle of an image, as a data URI, and what it shows."""

    uri: str
    path: str
    class_name: str


def write_scan_page(report: ScanReport, size: tuple[int, int], path: Path) -> None:
    """Write `report` to `path`, with advice for training on images of `size`, (height, width)."""
    found = report.as_dict()
    write_page(
        path,
        "scan.html",
        found=found,
        bytes=decimal(found["bytes"]),
        copies=report.copies,
        advice=list(advice(report, size)),
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
    """Iterate over some of the readable images, evenly spread over all of them."""
    readable = np.sort(report.indices)
    count = min(_THUMBNAILS, len(readable))
    if count == 0:
        return
    chosen = readable[np.linspace(0, len(readable) - 1, count).astype(int)]
    images = ImageFileAccessor(
        report.images.paths, size=(_EDGE, _EDGE), fit="crop", decode="scaled"
    )
    source = ArrayDataSource([images], indices=chosen, include_indices=True)
    # A file may be gone since it was scanned.
    with Loader(source, count, bad_samples=BadSamples("skip", limit=None)) as loader:
        for indices, squares in loader:
            for index, square in zip(indices.tolist(), squares, strict=True):
                jpeg = io.BytesIO()
                Image.fromarray(square).save(jpeg, "JPEG", quality=80)
                name = report.class_names[report.labels[index]]
                uri = data_uri(jpeg.getvalue(), "image/jpeg")
                yield Thumbnail(uri, report.images.name_of(index), name)


def _bars(counts: dict[str, int]) -> dict[str, Any]:
    """Return the most frequent of `counts`, each with its length in percent of the longest, and how many more there are."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    longest = max(counts.values(), default=1)
    rows = [
        {"name": name, "count": count, "percent": round(100 * count / longest, 1)}
        for name, count in ordered[:_MOST_BARS]
    ]
    return {"rows": rows, "more": len(ordered) - len(rows)}


def _histogram(values: npt.NDArray[np.int32]) -> dict[str, Any]:
    """Return how many of `values` are in each of some ranges, with its height in percent of the highest."""
    low, high = int(values.min()), int(values.max())
    edges = np.linspace(low, high + 1, min(_BINS, high + 1 - low) + 1)
    counts, _ = np.histogram(values, edges)
    first, last = np.ceil(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int) - 1
    bins = [
        {"low": start, "high": end, "count": count, "percent": round(100 * count / counts.max(), 1)}
        for start, end, count in zip(first.tolist(), last.tolist(), counts.tolist(), strict=True)
    ]
    return {"low": low, "high": high, "bins": bins}


class Advice(NamedTuple):
    """What was found, what helps, and the code or command for it, or ""."""

    finding: str
    remedy: str
    code: str = ""


def advice(report: ScanReport, size: tuple[int, int]) -> Iterator[Advice]:
    """Iterate over what to do before training on the images at `size`, (height, width); the gravest first."""
    found = report.as_dict()
    if count := len(found["bad"]):
        yield Advice(
            f"{_files(count)} cannot be read",
            'list them, and leave them out with Loader(..., exclude="bad.parquet")',
            "raybatch scan DIR --exclude-list bad.parquet",
        )
    if count := report.copies:
        yield Advice(
            f"{_files(count)} {'has' if count == 1 else 'have'} the bytes of another",
            "put them into the list too, so that none is in training and validation both",
            "raybatch scan DIR --exclude-list bad.parquet --exclude-duplicates",
        )
    yield from _about_sizes(report, size)
    if count := found["exif_turned"]:
        yield Advice(
            f"{_files(count)} {'is' if count == 1 else 'are'} to be turned, by their EXIF data",
            "load them upright",
            "exif_orientation=True",
        )
    if count := sum(found["modes"].get(mode, 0) for mode in _TRANSPARENT):
        yield Advice(
            f"{_files(count)} may be transparent", "say what shows through", 'background="white"'
        )
    deep = ~np.isfinite(report.facts["mean"]).all(axis=1)
    if count := int(deep.sum()):
        yield Advice(
            f"{_files(count)} {'has' if count == 1 else 'have'} more than 8 bits a channel",
            'they are not in the mean and the standard deviation; mode="I;16" or "F" keeps their values',
        )
    if report.left_out:
        yield Advice(
            f"Left out as no images by their suffix: {left_out_text(report.left_out)}",
            "convert or rename those that are images",
        )
    if empty := [name for name, count in found["classes"].items() if count == 0]:
        yield Advice(
            f"There are no images of {', '.join(empty)}",
            "give the splits of a data set the same numbers",
            'rb.image_folder("validation", classes=training.classes)',
        )
    counts = {name: count for name, count in found["classes"].items() if count}
    if len(counts) > 1 and max(counts.values()) > _UNEQUAL * min(counts.values()):
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        yield Advice(
            f"There are {counts[most]:,} images of {most} and {counts[least]:,} of {least}",
            "draw the rare ones more often",
            "rb.WeightedSampler.class_balancing_sampler(labels)",
        )


def _about_sizes(report: ScanReport, size: tuple[int, int]) -> Iterator[Advice]:
    if len(report.facts) == 0:
        return
    (height, width), facts = size, report.facts
    larger = (facts["height"] >= _FAR_LARGER * height) & (facts["width"] >= _FAR_LARGER * width)
    jpeg = larger & (facts["format"] == b"JPEG")
    target = f"{height} × {width}"
    if larger.mean() > _MANY:
        shrink = 'let the JPEG decoder shrink them (decode="scaled"), or '
        yield Advice(
            f"{larger.mean():.0%} of the images are far larger than {target}",
            f"{shrink if jpeg.mean() > _MANY else ''}decode them once, at the size that you train at",
            f"raybatch pack DIR OUT --size {height}x{width}",
        )
    smaller = (facts["height"] < height) | (facts["width"] < width)
    if smaller.mean() > _MANY:
        yield Advice(
            f"{smaller.mean():.0%} of the images are smaller than {target}",
            "train at a smaller size, or they are enlarged",
        )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"

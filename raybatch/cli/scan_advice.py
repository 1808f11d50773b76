"""What to do about what a scan found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from raybatch.cli.scan_report import ScanReport

# An image this many times as high and as wide as needed is decoded for nothing, for the most part.
_FAR_LARGER = 2
# Of two classes, one with so many times the images of the other drowns it.
_UNEQUAL = 10
_MANY = 0.25
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")


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
    if count := sum(len(group) - 1 for group in found["duplicates"]):
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
    counts = found["classes"]
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

"""What to do about what a scan found, before training; the page and the terminal say the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from rich.text import Text

from raybatch.cli.scan_report import ScanReport
from raybatch.stores.listing import left_out_text
from raybatch.stores.location import Location

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
    found, where = report.as_dict(), _where(report)
    if count := len(found["bad"]):
        yield Advice(
            f"{_files(count)} cannot be read",
            'list them, and leave them out with Loader(..., exclude="bad.parquet")',
            f"raybatch scan {where} --exclude-list bad.parquet",
        )
    if count := len(report.label_errors):
        yield Advice(
            f"{'1 picture is' if count == 1 else f'{count:,} pictures are'} in two classes, so one of their labels is wrong",
            "look at each, and remove it from the class that it does not belong to",
        )
    if count := report.copies:
        yield Advice(
            f"{_files(count)} {'has' if count == 1 else 'have'} the bytes of another",
            "put them into the list too, so that none is in training and validation both",
            f"raybatch scan {where} --exclude-list bad.parquet --exclude-duplicates",
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
    if left_out := report.named.left_out:
        yield Advice(
            f"Left out as no images by their suffix: {left_out_text(left_out)}",
            "convert or rename those that are images",
        )
    if empty := [name for name, count in found["classes"].items() if count == 0]:
        yield Advice(
            f"There are no readable images of {', '.join(empty)}",
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
            f"raybatch pack {_where(report)} OUT --size {height}x{width}",
        )
    smaller = (facts["height"] < height) | (facts["width"] < width)
    if smaller.mean() > _MANY:
        yield Advice(
            f"{smaller.mean():.0%} of the images are smaller than {target}",
            "train at a smaller size, or they are enlarged",
        )


def shown(advised: list[Advice]) -> Iterator[Text]:
    """Iterate over the lines of `advised` for a terminal."""
    if advised:
        yield Text("\nAdvice:", "bold")
    for one in advised:
        yield Text(f"  {one.finding}: {one.remedy}")
        if one.code:
            yield Text(f"      {one.code}")


def _where(report: ScanReport) -> str:
    return shlex.quote(str(Location(report.named.given)))


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"

"""Advice for training from what a scan found, for its page and for the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.text import Text

from raybatch.checks import counted
from raybatch.cli.scan_report import ScanReport
from raybatch.stores.listing import left_out_text
from raybatch.stores.location import Location

# If an image is this many times as high and wide as needed, most of its decoding is wasted.
_FAR_LARGER = 2
# If a class has this many times the images of another, the rare one should be drawn more often.
_UNEQUAL = 10
_MANY = 0.25
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")


class Advice(NamedTuple):
    """What was found, what to do, and the code or command for it ("" if there is none)."""

    finding: str
    remedy: str
    code: str = ""


def advice(
    report: ScanReport, size: tuple[int, int], listed: Path | None = None, duplicates: bool = False
) -> Iterator[Advice]:
    """Iterate over advice for training at `size`, (height, width), the most serious first.

    `listed` is the list of unreadable images that this scan writes, with copies if `duplicates`.
    """
    found = report.as_dict()
    exclude = f'Loader(..., exclude="{listed or "bad.parquet"}")'
    to_list = (
        f"raybatch scan {_where(report)} --exclude-list {shlex.quote(str(listed or 'bad.parquet'))}"
    )
    if count := len(found["bad"]):
        bad = f"{counted(count, 'file')} cannot be read"
        which = "it" if count == 1 else "them"
        if listed is None:
            remedy = f"write a list of {which}, and leave {which} out with {exclude}"
            yield Advice(bad, remedy, to_list)
        else:
            yield Advice(bad, f"leave {which} out", exclude)
    if count := len(report.label_errors):
        yield Advice(
            f"{'1 picture is' if count == 1 else f'{count:,} pictures are'} in two classes, so one"
            " of their labels is wrong",
            "look at each, and remove it from the wrong class",
        )
    if count := report.copies:
        copies = (
            f"{counted(count, 'file')} {'is a copy' if count == 1 else 'are copies'} of another"
        )
        why = "so that no picture is in both training and validation"
        which = "it" if count == 1 else "them"
        if duplicates:
            yield Advice(copies, f"leave {which} out with the same list, {why}", exclude)
        else:
            remedy = (
                f"add {which} to the list, {why}"
                if found["bad"]
                else f"write a list of {which}, and leave {which} out with {exclude}, {why}"
            )
            yield Advice(copies, remedy, f"{to_list} --exclude-duplicates")
    yield from _about_sizes(report, size)
    if count := found["exif_turned"]:
        yield Advice(
            f"{counted(count, 'file')} {'is' if count == 1 else 'are'} rotated or mirrored, by the"
            " EXIF orientation",
            "load them upright",
            "exif_orientation=True",
        )
    if count := sum(found["modes"].get(mode, 0) for mode in _TRANSPARENT):
        yield Advice(
            f"{counted(count, 'file')} may be transparent",
            "choose a background colour",
            'background="white"',
        )
    deep = ~np.isfinite(report.facts["mean"]).all(axis=1)
    if count := int(deep.sum()):
        yield Advice(
            f"{counted(count, 'file')} {'has' if count == 1 else 'have'} more than 8 bits per"
            " channel",
            'the mean and standard deviation leave them out; mode="I;16" or "F" keeps their values',
        )
    if left_out := report.named.left_out:
        yield Advice(
            f"These files were left out, since their suffix is not an image's:"
            f" {left_out_text(left_out)}",
            "convert or rename the images among them",
        )
    if empty := [name for name, count in found["classes"].items() if count == 0]:
        yield Advice(
            f"These classes have no readable images: {', '.join(empty)}",
            "give all splits of the data set the same class numbers",
            'rb.image_folder("validation", classes=training.classes)',
        )
    counts = {name: count for name, count in found["classes"].items() if count}
    if len(counts) > 1 and max(counts.values()) > _UNEQUAL * min(counts.values()):
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        yield Advice(
            f"There are {counts[most]:,} images of {most} and {counts[least]:,} of {least}",
            "draw the rare class more often",
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
            f"{shrink if jpeg.mean() > _MANY else ''}decode them once, at the training size",
            f"raybatch pack {_where(report)} OUT --size {height}x{width}",
        )
    smaller = (facts["height"] < height) | (facts["width"] < width)
    if smaller.mean() > _MANY:
        yield Advice(
            f"{smaller.mean():.0%} of the images are smaller than {target}",
            "train at a smaller size; otherwise they are enlarged",
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

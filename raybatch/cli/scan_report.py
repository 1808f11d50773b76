"""The result of a scan: as a table, as JSON, and as a list of images to leave out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import RenderableType
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from raybatch.accessors.image_facts import ImageFacts
from raybatch.cli.named_images import NamedImages
from raybatch.cli.output import listed
from raybatch.sources.ledger import BadSample, BadSampleLedger
from raybatch.stores.listing import left_out_text
from raybatch.stores.location import Location

_MOST_SHOWN = 20


@dataclass(frozen=True)
class ScanReport:
    """The `facts` about the readable images, at `indices`, and the `bad` images.

    `facts` are those of `accessors.image_facts.FACTS`. `images` has the names of all images.
    `labels` has the class of each image, as an index into `class_names`.
    """

    named: NamedImages
    images: ImageFacts
    labels: npt.NDArray[np.int32]
    class_names: list[str]
    indices: npt.NDArray[np.int64]
    facts: npt.NDArray[Any]
    bad: BadSampleLedger

    @cached_property
    def duplicates(self) -> list[list[int]]:
        """The indices of files with equal bytes: one list for each group, in order."""
        digests = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16),
            len(self.facts),
            [None, pa.py_buffer(np.ascontiguousarray(self.facts["digest"]))],
        )
        codes = digests.dictionary_encode().indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.diff(codes[order])) + 1
        groups = np.split(self.indices[order], starts)
        return [group.tolist() for group in groups if len(group) > 1]

    @property
    def label_errors(self) -> list[list[int]]:
        """The groups of `duplicates` that span more than one class."""
        return [group for group in self.duplicates if len(set(self.labels[group].tolist())) > 1]

    @property
    def repeated(self) -> list[list[int]]:
        """The groups of `duplicates` within one class."""
        return [group for group in self.duplicates if group not in self.label_errors]

    def titled(self, index: int) -> str:
        """Return the name of the image at `index`, with its class unless the name contains it."""
        name, title = self.images.name_of(index), self.class_names[self.labels[index]]
        return name if f"/{title}/" in name else f"{name} ({title})"

    @cached_property
    def moments(self) -> tuple[list[float], list[float]] | None:
        """The mean and standard deviation of red, green and blue.

        None if no image has 8 bits per channel.
        """
        known = np.isfinite(self.facts["mean"]).all(axis=1)
        if not known.any():
            return None
        mean = self.facts["mean"][known].mean(axis=0)
        square = self.facts["square"][known].mean(axis=0)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        return mean.round(4).tolist(), deviation.round(4).tolist()

    @property
    def copies(self) -> int:
        """The number of files that have the same bytes as an earlier one."""
        return sum(len(group) - 1 for group in self.duplicates)

    def exclusions(self, *, duplicates: bool = False) -> BadSampleLedger:
        """Return the bad images as a list to leave out.

        With `duplicates`, the list also has all but the first of each group of equal files.
        """
        copies = [
            BadSample(
                index,
                "Duplicate",
                f"the same bytes as {self.images.name_of(group[0])!r}",
                self.images.name_of(index),
            )
            for group in (self.duplicates if duplicates else [])
            for index in group[1:]
        ]
        return BadSampleLedger([*self.bad, *copies])

    def as_dict(self) -> dict[str, Any]:
        """Return the whole report, for JSON."""
        mean, std = self.moments or (None, None)
        return {
            "root": str(Location(self.named.given)),
            "form": self.named.form,
            "images": len(self.labels),
            "readable": len(self.facts),
            "bytes": int(self.facts["file_bytes"].sum()),
            "formats": _counted(self.facts["format"]),
            "modes": _counted(self.facts["mode"]),
            "sizes": self._sizes(),
            "exif_turned": int((self.facts["orientation"] > 1).sum()),
            "classes": dict(zip(self.class_names, self._class_sizes(), strict=True)),
            "mean": mean,
            "std": std,
            "left_out": self.named.left_out,
            "bad": listed(self.bad, "index", "path", "error", "message"),
            "duplicates": [
                [self.images.name_of(index) for index in group] for group in self.duplicates
            ],
            "label_errors": [
                [
                    {
                        "path": self.images.name_of(index),
                        "class": self.class_names[self.labels[index]],
                    }
                    for index in group
                ]
                for group in self.label_errors
            ],
        }

    def _class_sizes(self) -> list[int]:
        own = self.labels[self.indices]
        counts: list[int] = np.bincount(own, minlength=len(self.class_names)).tolist()
        return counts

    def _sizes(self) -> dict[str, Any]:
        """Return sizes as [height, width]; the median is taken separately for each edge."""
        if len(self.facts) == 0:
            return {}
        edges = np.stack([self.facts["height"], self.facts["width"]], axis=1)
        pixels = edges.astype(np.int64).prod(axis=1)
        return {
            "smallest": edges[pixels.argmin()].tolist(),
            "median": np.median(edges, axis=0).astype(int).tolist(),
            "largest": edges[pixels.argmax()].tolist(),
            "distinct": len(np.unique(edges, axis=0)),
        }

    def shown(self) -> Iterator[RenderableType]:
        """Iterate over the parts to print: a table of facts, and lines for images with faults."""
        found = self.as_dict()
        table = Table("what", "", title=escape(found["root"]), show_header=False)
        table.add_row("images", f"{found['images']:,}")
        table.add_row("cannot be read", f"{len(found['bad']):,}")
        if found["left_out"]:
            table.add_row("left out, by suffix", escape(left_out_text(found["left_out"])))
        if found["bad"]:
            table.add_section()
            table.add_row(f"the {found['readable']:,} that can be read", "")
        table.add_row("total size", decimal(found["bytes"]))
        table.add_row("formats", _listed(found["formats"]))
        table.add_row("modes", _listed(found["modes"]))
        for name, size in found["sizes"].items():
            if name != "distinct":
                table.add_row(f"{name} (height × width)", "×".join(map(str, size)))
        table.add_row("rotated or mirrored (EXIF)", f"{found['exif_turned']:,}")
        table.add_row("classes", _listed(found["classes"]))
        if found["mean"] is not None:
            table.add_row("mean (red, green, blue)", _numbers(found["mean"]))
            table.add_row("standard deviation", _numbers(found["std"]))
        table.add_row("copies of other files", f"{self.copies:,}")
        table.add_row("the same picture in two classes", f"{len(self.label_errors):,}")
        yield table
        yield from _lines("Unreadable images:", [sample.description for sample in self.bad])
        for title, groups in (
            ("The same picture in two classes:", self.label_errors),
            ("Copies within a class:", self.repeated),
        ):
            yield from _lines(
                title, [_cut(" = ", list(map(self.titled, group))) for group in groups]
            )


def _lines(title: str, lines: list[str]) -> Iterator[Text]:
    """Iterate over the title, the first of `lines`, and how many more there are."""
    if not lines:
        return
    yield Text(f"\n{title}", "bold")
    for line in lines[:_MOST_SHOWN]:
        yield Text(f"  {line}")
    if (more := len(lines) - _MOST_SHOWN) > 0:
        yield Text(f"  and {more:,} more: see --json")


def _cut(separator: str, texts: list[str]) -> str:
    """Return the first of `texts`, and how many more there are."""
    more = len(texts) - _MOST_SHOWN
    rest = [f"and {more} more"] if more > 0 else []
    return separator.join(texts[:_MOST_SHOWN] + rest)


def _counted(names: npt.NDArray[np.bytes_]) -> dict[str, int]:
    values, counts = np.unique(names, return_counts=True)
    ordered = sorted(zip(counts.tolist(), values.tolist(), strict=True), reverse=True)
    return {name.decode(): count for count, name in ordered}


def _listed(counts: dict[str, int]) -> str:
    return escape(_cut(", ", [f"{name} {count:,}" for name, count in counts.items()]))


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)

"""What a scan found, as a table, as JSON, and as a list of what to leave out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from raybatch.accessors.image_facts import ImageFacts
from raybatch.cli.output import listed
from raybatch.sources import BadSample, BadSampleLedger
from raybatch.stores.listing import left_out_text
from raybatch.stores.location import Location

_MOST_SHOWN = 20


@dataclass(frozen=True)
class ScanReport:
    """The `facts` (of `accessors.image_facts.FACTS`) of the images at `indices` below `root`, and the `bad` ones.

    `images` has all of them; `labels` has the number of each one's class in `class_names`. `left_out` counts the files that
    are no images by their suffix, by that.
    """

    root: str
    images: ImageFacts
    labels: npt.NDArray[np.int32]
    class_names: list[str]
    indices: npt.NDArray[np.int64]
    facts: npt.NDArray[Any]
    bad: BadSampleLedger
    left_out: dict[str, int]

    @cached_property
    def duplicates(self) -> list[list[int]]:
        """The indices of files of the same bytes, a list for each such group, in order."""
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

    @cached_property
    def moments(self) -> tuple[list[float], list[float]] | None:
        """The mean and the standard deviation of red, green and blue; None if there is no image of 8 bits."""
        known = np.isfinite(self.facts["mean"]).all(axis=1)
        if not known.any():
            return None
        mean = self.facts["mean"][known].mean(axis=0)
        square = self.facts["square"][known].mean(axis=0)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        return mean.round(4).tolist(), deviation.round(4).tolist()

    @property
    def copies(self) -> int:
        """The number of files whose bytes are those of an earlier one."""
        return sum(len(group) - 1 for group in self.duplicates)

    def exclusions(self, *, duplicates: bool = False) -> BadSampleLedger:
        """Return the images to leave out: the bad ones, and with `duplicates` all but the first of each group."""
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
        """Return all of it, for JSON."""
        mean, std = self.moments or (None, None)
        return {
            "root": str(Location(self.root)),
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
            "left_out": self.left_out,
            "bad": listed(self.bad, "index", "path", "error", "message"),
            "duplicates": [
                [self.images.name_of(index) for index in group] for group in self.duplicates
            ],
        }

    def _class_sizes(self) -> list[int]:
        counts: list[int] = np.bincount(self.labels, minlength=len(self.class_names)).tolist()
        return counts

    def _sizes(self) -> dict[str, Any]:
        """Return heights and widths, each as [height, width]; the median is that of each edge."""
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

    def tables(self) -> Iterator[Table]:
        """Iterate over the tables to show."""
        found = self.as_dict()
        table = Table("what", "", title=escape(found["root"]), show_header=False)
        table.add_row("images", f"{found['images']:,}")
        table.add_row("cannot be read", f"{len(found['bad']):,}")
        if self.left_out:
            table.add_row("left out, by suffix", escape(left_out_text(self.left_out)))
        table.add_row("bytes", decimal(found["bytes"]))
        table.add_row("formats", _listed(found["formats"]))
        table.add_row("modes", _listed(found["modes"]))
        for name, size in found["sizes"].items():
            if name != "distinct":
                table.add_row(f"{name} (height × width)", "×".join(map(str, size)))
        table.add_row("turned or mirrored by EXIF", f"{found['exif_turned']:,}")
        table.add_row("classes", _listed(found["classes"]))
        if found["mean"] is not None:
            table.add_row("mean (red, green, blue)", _numbers(found["mean"]))
            table.add_row("standard deviation", _numbers(found["std"]))
        table.add_row("copies of other files", f"{self.copies:,}")
        yield table
        if found["bad"]:
            rows = [(str(sample["index"]), sample["message"]) for sample in found["bad"]]
            yield _cut_table("These cannot be read", "index", "error", rows)
        if found["duplicates"]:
            rows = [(first, _cut("\n", copies)) for first, *copies in found["duplicates"]]
            yield _cut_table("Files more than once", "file", "the same bytes", rows)


def _cut_table(title: str, head: str, other: str, rows: list[tuple[str, str]]) -> Table:
    """Return a table of the first of `rows`, which says how many more there are."""
    more = len(rows) - _MOST_SHOWN
    table = Table(head, other, title=title)
    table.caption = f"and {more} more: see --json" if more > 0 else None
    for one, another in rows[:_MOST_SHOWN]:
        table.add_row(escape(one), escape(another))
    return table


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

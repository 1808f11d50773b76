"""A size for each image, so that all images of a batch have the size of their group."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from raybatch.checks import height_and_width
from raybatch.image.reader import ImageReader

# An accessor's `size`: (height, width), an int for both, or one size for each sample, `(n, 2)`.
Size: TypeAlias = "int | tuple[int, int] | npt.NDArray[np.integer[Any]] | None"


class SizedReaders:
    """A reader for each sample.

    `sizes`, integers `(n, 2)`, holds the (height, width) of each sample; `reading` holds the
    settings that all readers share.
    """

    def __init__(self, sizes: npt.NDArray[Any], reading: dict[str, Any]) -> None:
        if sizes.shape[1:] != (2,) or not len(sizes):
            raise ValueError(
                "size must be (height, width), or an array (n, 2) with the size of each sample, not"
                f" an array {sizes.shape}"
            )
        if not np.issubdtype(sizes.dtype, np.integer):
            raise TypeError(f"size must be an array of integers, not of {sizes.dtype}")
        known, numbers = np.unique(sizes, axis=0, return_inverse=True)
        self._numbers = numbers.reshape(-1).astype(np.min_scalar_type(len(known)))
        self._sizes = [height_and_width("size", tuple(size)) for size in known.tolist()]
        self._readers: list[ImageReader] = [_reader(size, reading) for size in self._sizes]

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"{len(self._sizes)} sizes from {self._sizes[0]} to {self._sizes[-1]}"

    def of(self, position: int) -> ImageReader:
        """Return the reader of the sample at `position`."""
        return self._readers[int(self._numbers[position])]

    def of_all(self, positions: Sequence[int], name_of: Callable[[int], str]) -> ImageReader:
        """Return the reader of all samples at `positions`.

        ValueError, with the names of two samples, if they differ in size.
        """
        numbers = self._numbers[list(positions)]
        if (numbers != numbers[:1]).any():
            first, other = positions[0], positions[int(np.argmax(numbers != numbers[0]))]
            raise ValueError(
                f"one batch has images of several sizes, which do not stack: {name_of(first)!r} has"
                f" size {self._sizes[self._numbers[first]]}, and {name_of(other)!r}"
                f" {self._sizes[self._numbers[other]]} (height, width). Give the source a"
                " GroupedSampler, so that a batch has images of one group, and give all images of a"
                " group one size"
            )
        return self._readers[int(numbers[0]) if len(numbers) else 0]

    def fingerprint(self) -> dict[str, Any]:
        """Return a fingerprint of the sizes."""
        return {
            "sizes": self._sizes,
            "numbers": hashlib.sha256(self._numbers.tobytes()).hexdigest()[:16],
        }


Readers: TypeAlias = ImageReader | SizedReaders


def readers_of(size: Any, **reading: Any) -> Readers:
    """Return one reader for one `size`, or the readers for an array of sizes, shape `(n, 2)`.

    TypeError for an argument that `ImageReader` lacks.
    """
    known = [each.name for each in dataclasses.fields(ImageReader)]
    if unknown := [name for name in reading if name not in known]:
        close = difflib.get_close_matches(unknown[0], known, 1)
        meant = f": did you mean {close[0]}=?" if close else "."
        raise TypeError(
            f"{unknown[0]}= is not an argument for reading images{meant} The arguments are"
            f" {', '.join(known)}"
        )
    if size is not None and np.ndim(size) > 1:
        return SizedReaders(np.asarray(size), reading)
    return _reader(size, reading)


def _reader(size: Any, reading: dict[str, Any]) -> ImageReader:
    reader = ImageReader(size, **reading)
    if "mode" in reading:
        object.__setattr__(reader, "mode_was_given", True)
    return reader

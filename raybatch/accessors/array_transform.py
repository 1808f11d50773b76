"""Applies a transform and a layout to images that are already arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.accessors.reading import RngOf, map_rows
from raybatch.foreign_randomness import ForeignRandomness
from raybatch.image.augment.transform import Change, changed, flat, is_random, made_by, output_size
from raybatch.image.pixels import BoundLayout
from raybatch.image.resampling import Pixels
from raybatch.image.viewed import InMemory
from raybatch.memory import empty_batch


class ArrayTransform:
    """A `transform` and `layout` for image arrays of one `size` (height, width) and Pillow `mode`.

    ValueError if the transformed images differ in size.
    """

    def __init__(
        self, transform: Change | None, layout: BoundLayout, size: tuple[int, int], mode: str
    ) -> None:
        self._changes = () if transform is None else flat(transform)
        self._foreign = ForeignRandomness(transform)
        self._is_random = transform is not None and is_random(transform)
        self._layout = layout
        self._mode = mode
        output = output_size(self._changes, size)
        if output is None:
            raise ValueError(f"the images of transform={transform!r} differ in size")
        self._size = output

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a transformed image."""
        return self._layout.shape(*self._size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of a transformed image."""
        return self._layout.dtype

    def stack(self, images: Sequence[npt.NDArray[Any]], rng_of: RngOf) -> npt.NDArray[Any]:
        """Return the transformed `images` as a stack; `rng_of(row)` returns a row's generator."""
        stack = empty_batch((len(images), *self.shape), self._layout.dtype)

        def write(row: int) -> None:
            rng = rng_of(row) if self._is_random else None
            source = InMemory(self._pixels(images[row]))
            with self._foreign.seeded_once(rng) as begin:
                viewed = changed(source, self._changes, rng, partial(made_by, begin=begin))
            viewed.write(self._layout, stack[row])

        map_rows(write, range(len(images)))
        return stack

    def _pixels(self, image: npt.NDArray[Any]) -> Pixels:
        # Only these modes can be plain arrays as `Pixels`; the others need a Pillow image.
        if self._mode in ("RGB", "L"):
            return image
        if self._mode == "1":
            return Image.fromarray(np.asarray(image, bool))
        height, width = image.shape[:2]
        data = np.ascontiguousarray(image)
        return Image.frombuffer(self._mode, (width, height), data, "raw", self._mode, 0, 1)

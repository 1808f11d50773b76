"""A view to take of an image. The pixels are decoded only when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.borders import bordered
from raybatch.image.pixels import BoundLayout
from raybatch.image.resampling import (
    Pixels,
    array_of,
    check_fill_of,
    image_of,
    margins,
    size_of,
    write_view,
)
from raybatch.image.view import Crop, Size, Step, View, Warp
from raybatch.image.warp_kernel import warped
from raybatch.stages import stage


class Source(Protocol):
    """An image, decoded or not: its `size` (width, height), and the pixels that a view needs."""

    @property
    def size(self) -> Size: ...

    def pixels(self, view: View) -> tuple[Pixels, View]:
        """Return the pixels that `view` needs, and the view of them.

        The two views differ if the decoder shrinks the image.
        """


class InMemory(NamedTuple):
    """An image whose pixels are in memory."""

    image: Pixels

    @property
    def size(self) -> Size:
        """The width and the height."""
        return size_of(self.image)

    def pixels(self, view: View) -> tuple[Pixels, View]:
        """Return the image and `view`, both unchanged."""
        return self.image, view


class Viewed(NamedTuple):
    """A `view` of the image in `source`."""

    source: Source
    view: View

    @classmethod
    def all_of(cls, source: Source) -> Viewed:
        """Return the view of the whole image."""
        return cls(source, View.of(source.size))

    @property
    def size(self) -> Size:
        """The width and the height of the view."""
        return self.view.size

    def then(self, step: Step) -> Viewed:
        """Return this view followed by `step`.

        If one view cannot do both, the pixels are computed first.
        """
        if isinstance(step, Warp):
            return Viewed.all_of(InMemory(warped(self.image(), step)))
        view = self.view.then(step)
        if view is not None:
            return Viewed(self.source, view)
        if isinstance(step, Crop) and step.padding_mode != "constant":
            return Viewed.all_of(InMemory(bordered(self.image(), step)))
        made = InMemory(self.image())
        return Viewed.all_of(made).then(step)

    def painted(self, paint: Callable[[Any], Any]) -> Viewed:
        """Return the result of `paint`, which gets this view as a Pillow image."""
        image = self.image()
        made = paint(image)
        return self if made is image else Viewed.all_of(InMemory(made))

    def image(self) -> Image.Image:
        """Return the pixels as a Pillow image; the source itself if the view is all of it."""
        pixels, view = self.source.pixels(self.view)
        with stage("resize"):
            return image_of(pixels, view)

    def array(self) -> npt.NDArray[np.uint8]:
        """Return the pixels as uint8 (H, W, 3) or (H, W).

        The array is contiguous, or shares the memory of the source.
        """
        pixels, view = self.source.pixels(self.view)
        if isinstance(pixels, np.ndarray):
            return array_of(pixels, view)
        return np.array(image_of(pixels, view))

    def write(self, layout: BoundLayout, out: npt.NDArray[Any]) -> None:
        """Write the pixels into `out`, an array of `layout.shape`, in one pass if the kernel can.

        If `out` has another size, raises ValueError before anything is decoded.
        """
        canvas = layout.canvas(out)
        (width, height), wanted = self.size, canvas.shape[:2]
        if (height, width) != wanted:
            raise ValueError(
                f"the transform returned an image of {height} × {width} pixels (height × width),"
                f" but the other images are {wanted[0]} × {wanted[1]}"
            )
        pixels, view = self.source.pixels(self.view)
        check_fill_of(layout.channels[0] if layout.channels else 1, view.fill)
        with stage("resize"):
            is_written = layout.is_of_bytes and write_view(pixels, view, canvas, layout.table)
            image = None if is_written else image_of(pixels, view)
        if image is not None:
            return layout.write(image, out)
        for edge in margins(canvas, view):
            edge[...] = layout.level(view.fill)
        return None

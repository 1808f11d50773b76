"""An image → one of another size, with as little decoded and resampled as its quality allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt
from PIL import Image

from raybatch.image.pixels import BoundLayout
from raybatch.image.resampling import Box, can_resample, resample_into
from raybatch.stages import stage

FITS = ("stretch", "crop", "pad")


class Extent(NamedTuple):
    """How many pixels an image has, from the upper left; fractions where a decoder that shrank it had to round.

    `reducing_gap` is how much larger than the result it stays where it is reduced before it is resampled, or None where
    that is not to be done.
    """

    width: float
    height: float
    reducing_gap: float | None = None


@dataclass(frozen=True)
class Scaling:
    """Scales images to `width` and `height`, the way that `fit` says, with the filter `resample`.

    With `margin`, an image is reduced by whole factors first, as far as it stays `margin` times larger than the
    result: cheap steps, which cost a little quality. The decoder does it where it can, Pillow's `draft`; else it is
    `reducing_gap`. With None every pixel counts, and the result is that of `Image.resize`,
    `ImageOps.fit` or `ImageOps.pad`, where that would have lost a thin image altogether excepted.
    """

    width: int
    height: int
    fit: str
    resample: Image.Resampling
    margin: float | None = None

    def draft(self, image: Image.Image, *, is_turned: bool) -> Extent:
        """Let the decoder of `image`, which is not loaded yet, shrink it; `is_turned`: by a quarter later.

        Returns the extent that it will have.
        """
        if self.margin is None:
            return Extent(*image.size)
        size = Extent(*((image.height, image.width) if is_turned else image.size))
        left, top, right, bottom = self._box(size)
        inner_width, inner_height = self._inner_size(size)
        # How many pixels there must be in the whole of it for those in the box to suffice.
        wanted = (
            math.ceil(self.margin * inner_width * size.width / (right - left)),
            math.ceil(self.margin * inner_height * size.height / (bottom - top)),
        )
        shrunk = image.draft(None, (wanted[1], wanted[0]) if is_turned else wanted)
        return Extent(*image.size, self.margin) if shrunk is None else Extent(*shrunk[1][2:])

    def scaled(self, image: Image.Image, extent: Extent) -> Image.Image:
        """Return `image`, which is loaded, at the size that was asked for."""
        with stage("resize"):
            resized = image.resize(
                self._inner_size(extent),
                self.resample,
                box=self._box(extent),
                reducing_gap=extent.reducing_gap,
            )
        return resized if resized.size == (self.width, self.height) else self._padded(resized)

    def scaled_into(
        self, image: Image.Image, extent: Extent, layout: BoundLayout, out: npt.NDArray[Any]
    ) -> None:
        """Write the pixels of `scaled(image, extent)` into `out`, an array of `layout.shape`."""
        if not (layout.is_of_bytes and can_resample(image, self.resample)):
            return layout.write(self.scaled(image, extent), out)
        size = self._inner_size(extent)
        left, top = self._margins(*size)
        right, bottom = left + size[0], top + size[1]
        canvas = layout.canvas(out)
        inner = canvas[top:bottom, left:right]
        with stage("resize"):
            part, box = self._reduced(image, extent, size)
            is_done = resample_into(part, self.resample, box, inner, layout.table)
        if not is_done:
            return layout.write(self.scaled(image, extent), out)
        if size != (self.width, self.height):
            for edge in (canvas[:top], canvas[bottom:], canvas[:, :left], canvas[:, right:]):
                edge[...] = layout.black
        return None

    def _reduced(
        self, image: Image.Image, extent: Extent, size: tuple[int, int]
    ) -> tuple[Image.Image, Box]:
        """Return `image` after the first of the two steps of `Image.resize`, and what is used of it then."""
        left, top, right, bottom = box = self._box(extent)
        if extent.reducing_gap is None:
            return image, box
        factors = (
            int((right - left) / size[0] / extent.reducing_gap) or 1,
            int((bottom - top) / size[1] / extent.reducing_gap) or 1,
        )
        if factors == (1, 1):
            return image, box
        around = image._get_safe_box(size, self.resample, box)
        x, y = around[:2]
        return image.reduce(factors, around), (
            (left - x) / factors[0],
            (top - y) / factors[1],
            (right - x) / factors[0],
            (bottom - y) / factors[1],
        )

    def _box(self, extent: Extent) -> Box:
        """Return what is used of an image: left, upper, right, lower; as in `ImageOps.fit`."""
        width, height, _ = extent
        ratio = self.width / self.height
        if self.fit != "crop" or width / height == ratio:
            return 0.0, 0.0, float(width), float(height)
        crop_width, crop_height = width, height
        if width / height >= ratio:
            crop_width = ratio * height
        else:
            crop_height = width / ratio
        left, top = (width - crop_width) * 0.5, (height - crop_height) * 0.5
        return left, top, left + crop_width, top + crop_height

    def _inner_size(self, extent: Extent) -> tuple[int, int]:
        """Return the size to which an image is resized, (width, height); as in `ImageOps.contain`."""
        width, height, _ = extent
        if self.fit != "pad":
            return self.width, self.height
        if width / height > self.width / self.height:
            return self.width, max(1, round(height / width * self.width))
        if width / height < self.width / self.height:
            return max(1, round(width / height * self.height)), self.height
        return self.width, self.height

    def _padded(self, image: Image.Image) -> Image.Image:
        """Return `image` in the middle of a black one; as in `ImageOps.pad`."""
        out = Image.new(image.mode, (self.width, self.height))
        palette = image.getpalette() if image.palette else None
        if palette is not None:
            out.putpalette(palette)
        out.paste(image, self._margins(*image.size))
        return out

    def _margins(self, width: int, height: int) -> tuple[int, int]:
        """Return how far from the left and the top an image of this size lies; as in `ImageOps.pad`."""
        return round((self.width - width) * 0.5), round((self.height - height) * 0.5)

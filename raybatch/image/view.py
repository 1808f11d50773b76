"""What is taken of an image: which part, at which size, mirrored or not. Geometry alone, decided before a pixel is decoded.

    image ─flip─► ─region─► what the filter may see ─scale─► ─window─► canvas ─mirror─► result

A view is built step by step: each geometric change of an image is a few of `Scale`, `Crop`, `Mirror` and `Warp`. A step that would
need the pixels of the steps before it, such as a second scaling or any `Warp`, does not fit; then those are made first.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from PIL import Image

Size: TypeAlias = tuple[int, int]  # width, height, as Pillow has them
Box: TypeAlias = tuple[float, float, float, float]  # left, upper, right, lower
Rectangle: TypeAlias = tuple[int, int, int, int]  # a box of whole pixels
Fill: TypeAlias = int | tuple[int, ...]  # the value of each channel, or of all

# How far Lanczos reaches to either side, in pixels of the larger image; and what the kernel reads in whole pairs.
_LARGEST_SUPPORT, _MORE = 3, 6


class Scale(NamedTuple):
    """`image.resize(size, resample, box)`; the filter sees the pixels beside the box, where there are any."""

    size: Size
    resample: Image.Resampling
    box: Box


class Crop(NamedTuple):
    """The pixels in `rectangle`, with `fill` where it reaches beyond the image."""

    rectangle: Rectangle
    fill: Fill = 0


class Mirror(NamedTuple):
    """Left and right exchanged if `columns`, top and bottom if `rows`."""

    columns: bool = False
    rows: bool = False


class Warp(NamedTuple):
    """`image.transform(size, method, coefficients, resample, fillcolor=fill)`: a rotation, a shear, any affine or perspective change.

    `coefficients` lead from the result back to the image, as Pillow has them: (a, b, c, d, e, f) of an affine change, with g and h
    of a perspective. The result at (x, y) is the image at ((ax + by + c) / n, (dx + ey + f) / n) with n = gx + hy + 1, where the
    centre of the first pixel is at (0.5, 0.5). What lies beyond the image has the value `fill`.
    """

    size: Size
    coefficients: tuple[float, ...]
    resample: Image.Resampling = Image.Resampling.NEAREST
    fill: Fill = 0


Step: TypeAlias = Scale | Crop | Mirror | Warp


class View(NamedTuple):
    """What is taken of an image, see the picture above.

    `whole` is the size of the image, which `flip` mirrors first. `region` lies in it, `scale.box` in the region, and `window` in
    the scaled region, or around it: what is outside has the value `fill`. With `scale` None nothing is scaled.
    """

    whole: Size
    region: Rectangle
    window: Rectangle
    scale: Scale | None = None
    mirror: Mirror = Mirror()
    fill: Fill = 0
    flip: Mirror = Mirror()

    @classmethod
    def of(cls, size: Size) -> View:
        """Return the view of all of an image of `size`."""
        everything = 0, 0, *size
        return cls(size, everything, everything)

    @property
    def size(self) -> Size:
        """The width and the height of the result."""
        left, top, right, bottom = self.window
        return right - left, bottom - top

    @property
    def scaled_size(self) -> Size:
        """The width and the height of the region after the scaling."""
        if self.scale is not None:
            return self.scale.size
        left, top, right, bottom = self.region
        return right - left, bottom - top

    @property
    def visible(self) -> Rectangle:
        """The part of the scaled region that lies in the window; its width or height is 0 if there is none."""
        width, height = self.scaled_size
        left, top, right, bottom = self.window
        left, top = max(0, min(left, width)), max(0, min(top, height))
        return left, top, max(left, min(right, width)), max(top, min(bottom, height))

    @property
    def has_margin(self) -> bool:
        """Whether the window reaches beyond the image."""
        return self.visible != self.window

    @property
    def is_all(self) -> bool:
        """Whether the result is the image as it is."""
        return self == View.of(self.whole)

    def then(self, step: Step) -> View | None:
        """Return the view of what `step` makes of this view's result; None if that is no view of the same image."""
        if isinstance(step, Mirror):
            columns, rows = self.mirror
            return self._replace(mirror=Mirror(columns != step.columns, rows != step.rows))
        if isinstance(step, Crop):
            return self._cropped(self._unmirrored(step.rectangle), step.fill)
        return self._scaled(step) if isinstance(step, Scale) else None

    def _cropped(self, part: Rectangle, fill: Fill) -> View | None:
        """Return the view whose window is `part` of this one's."""
        old, shown = self.window, self.visible
        new = old[0] + part[0], old[1] + part[1], old[0] + part[2], old[1] + part[3]
        if _is_within(new, old):
            return self._replace(window=new)
        # Around a window there is `fill`, and not what the image has there.
        hides_nothing = _is_within((0, 0, *self.scaled_size), old)
        if not hides_nothing or (shown != old and fill != self.fill):
            return None
        return self._replace(window=new, fill=fill)

    def _scaled(self, scale: Scale) -> View | None:
        if self.scale is not None or self.has_margin:
            return None
        # The rest of the region is not there for the filter. A mirror image is one of the pixels before they are scaled.
        left, top, right, bottom = self.window
        if self.mirror.columns:
            left, right = self.whole[0] - right, self.whole[0] - left
        if self.mirror.rows:
            top, bottom = self.whole[1] - bottom, self.whole[1] - top
        region = left, top, right, bottom
        return View(self.whole, region, (0, 0, *scale.size), scale, flip=self.mirror)

    def _unmirrored(self, part: Rectangle) -> Rectangle:
        """Return where `part` of the result lies in the window."""
        width, height = self.size
        left, top, right, bottom = part
        if self.mirror.columns:
            left, right = width - right, width - left
        if self.mirror.rows:
            top, bottom = height - bottom, height - top
        return left, top, right, bottom

    def wanted_size(self, margin: float) -> Size | None:
        """Return how large the whole image must be for the box to stay `margin` times larger than its result.

        None: as large as it is.
        """
        if self.scale is None:
            return None
        left, top, right, bottom = self.scale.box
        return (
            math.ceil(margin * self.scale.size[0] * self.whole[0] / (right - left)),
            math.ceil(margin * self.scale.size[1] * self.whole[1] / (bottom - top)),
        )

    def of_shrunk(self, size: Size, extent: tuple[float, float]) -> View:
        """Return this view of the image after its decoder has made it smaller.

        It has `size` pixels then, of which `extent` are those of the image: a decoder rounds up.
        """
        if size == self.whole:
            return self
        assert self.scale is not None
        x, y = extent[0] / self.whole[0], extent[1] / self.whole[1]
        left, top, right, bottom = self.region
        region = (
            math.floor(left * x),
            math.floor(top * y),
            min(size[0], math.ceil(right * x)),
            min(size[1], math.ceil(bottom * y)),
        )
        box = self.scale.box
        shrunk = (
            max(0.0, (left + box[0]) * x - region[0]),
            max(0.0, (top + box[1]) * y - region[1]),
            min(float(region[2] - region[0]), (left + box[2]) * x - region[0]),
            min(float(region[3] - region[1]), (top + box[3]) * y - region[1]),
        )
        return self._replace(whole=size, region=region, scale=self.scale._replace(box=shrunk))


def needed_part(view: View) -> Rectangle:
    """Return the part of the image that the result of `view` is made of, with all that its filter reaches, and some more."""
    left, top, right, bottom = view.visible
    x, y = view.region[:2]
    reach_x = reach_y = _MORE
    if view.scale is not None:
        size, box = view.scale.size, view.scale.box
        step_x, step_y = (box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]
        reach_x += math.ceil(_LARGEST_SUPPORT * max(1.0, step_x))
        reach_y += math.ceil(_LARGEST_SUPPORT * max(1.0, step_y))
        left, right = math.floor(box[0] + left * step_x), math.ceil(box[0] + right * step_x)
        top, bottom = math.floor(box[1] + top * step_y), math.ceil(box[1] + bottom * step_y)
    return (
        max(view.region[0], x + left - reach_x),
        max(view.region[1], y + top - reach_y),
        min(view.region[2], x + right + reach_x),
        min(view.region[3], y + bottom + reach_y),
    )


def _is_within(inner: Rectangle, outer: Rectangle) -> bool:
    return (
        inner[0] >= outer[0]
        and inner[1] >= outer[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )

"""The part of an image to take: its region, size and mirroring, known before decoding.

    image ─flip─► ─region─► pixels the filter sees ─scale─► ─window─► canvas ─mirror─► result

A view is built step by step. Each geometric change of an image is a list of `Scale`, `Crop`,
`Mirror` and `Warp` steps. Some steps need the pixels that the steps before them produce, such as a
second scaling or any `Warp`. They do not fit into the view, so its pixels are computed first.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from PIL import Image

Size: TypeAlias = tuple[int, int]  # width, height, as Pillow has them
Box: TypeAlias = tuple[float, float, float, float]  # left, upper, right, lower
Rectangle: TypeAlias = tuple[int, int, int, int]  # a box of whole pixels
Fill: TypeAlias = int | tuple[int, ...]  # the value of each channel, or of all

# Lanczos, the widest filter, reaches three pixels to each side: pixels of the image when it
# enlarges, and of the result when it shrinks. The kernel reads whole pairs of pixels, hence a few
# more.
_LARGEST_SUPPORT, _MORE = 3, 6


class Scale(NamedTuple):
    """`image.resize(size, resample, box)`; the filter also sees the pixels just outside the box."""

    size: Size
    resample: Image.Resampling
    box: Box


class Crop(NamedTuple):
    """The pixels in `rectangle`, with `fill` where it reaches beyond the image.

    If `padding_mode` is not "constant", pixels of the image take the place of `fill`; see
    `raybatch.image.borders`.
    """

    rectangle: Rectangle
    fill: Fill = 0
    padding_mode: str = "constant"


class Mirror(NamedTuple):
    """Swap left and right if `columns`, and top and bottom if `rows`."""

    columns: bool = False
    rows: bool = False


class Warp(NamedTuple):
    """`image.transform(size, method, coefficients, resample, fillcolor=fill)`.

    It is a rotation, a shear, or any other affine or perspective change. As in Pillow,
    `coefficients` map the result back to the image: (a, b, c, d, e, f) for an affine change,
    followed by g and h for a perspective. The point (x, y) of the result shows the point ((ax + by
    + c) / n, (dx + ey + f) / n) of the image, with n = gx + hy + 1. The centre of the first pixel
    is at (0.5, 0.5). Points outside the image get `fill`.
    """

    size: Size
    coefficients: tuple[float, ...]
    resample: Image.Resampling = Image.Resampling.NEAREST
    fill: Fill = 0


Step: TypeAlias = Scale | Crop | Mirror | Warp


class View(NamedTuple):
    """The part of an image to take, step by step as in the diagram above.

    Args:
        whole: The width and height of the image.
        region: The part that the filter may see, in the image after `flip`.
        window: The part of the scaled region to take. It may reach beyond the region.
        scale: The scaling of the region, with a box inside it. With None, nothing is scaled.
        mirror: The mirroring of the result.
        fill: The value of the pixels of the window that lie outside the region.
        flip: The mirroring of the image before all else.
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
        """Return the view of a whole image of `size`."""
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
        """The part of the scaled region that lies in the window; its width or height may be 0."""
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
        """Whether the result is the unchanged image."""
        return self == View.of(self.whole)

    def then(self, step: Step) -> View | None:
        """Return this view followed by `step`; None if one view of the image cannot do both."""
        if isinstance(step, Mirror):
            columns, rows = self.mirror
            return self._replace(mirror=Mirror(columns != step.columns, rows != step.rows))
        if isinstance(step, Crop):
            is_inside = _is_within(step.rectangle, (0, 0, *self.size))
            if step.padding_mode != "constant" and not is_inside:
                return None
            return self._cropped(self._unmirrored(step.rectangle), step.fill)
        return self._scaled(step) if isinstance(step, Scale) else None

    def _cropped(self, part: Rectangle, fill: Fill) -> View | None:
        """Return this view with its window cropped to `part`, which is relative to the window.

        None if that is not a view of the same image.
        """
        old, shown = self.window, self.visible
        new = old[0] + part[0], old[1] + part[1], old[0] + part[2], old[1] + part[3]
        if _is_within(new, old):
            return self._replace(window=new)
        # Pixels outside the old window must show `fill`, not the rest of the image.
        hides_nothing = _is_within((0, 0, *self.scaled_size), old)
        if not hides_nothing or (shown != old and fill != self.fill):
            return None
        return self._replace(window=new, fill=fill)

    def _scaled(self, scale: Scale) -> View | None:
        if self.scale is not None or self.has_margin:
            return None
        # The window becomes the new region, so the filter does not see the pixels outside it. The
        # mirroring so far comes before the new scaling.
        left, top, right, bottom = self.window
        if self.mirror.columns:
            left, right = self.whole[0] - right, self.whole[0] - left
        if self.mirror.rows:
            top, bottom = self.whole[1] - bottom, self.whole[1] - top
        region = left, top, right, bottom
        return View(self.whole, region, (0, 0, *scale.size), scale, flip=self.mirror)

    def _unmirrored(self, part: Rectangle) -> Rectangle:
        """Return the part of the window that becomes `part` of the mirrored result."""
        width, height = self.size
        left, top, right, bottom = part
        if self.mirror.columns:
            left, right = width - right, width - left
        if self.mirror.rows:
            top, bottom = height - bottom, height - top
        return left, top, right, bottom

    def wanted_size(self, margin: float) -> Size | None:
        """Return the size of the whole image at which the box is `margin` times the result.

        None if nothing is scaled, since the image must then keep its size.
        """
        if self.scale is None:
            return None
        left, top, right, bottom = self.scale.box
        return (
            math.ceil(margin * self.scale.size[0] * self.whole[0] / (right - left)),
            math.ceil(margin * self.scale.size[1] * self.whole[1] / (bottom - top)),
        )

    def of_shrunk(self, size: Size, extent: tuple[float, float]) -> View:
        """Return this view in terms of the image that its decoder has shrunk to `size`.

        A decoder rounds the width and the height up. `extent` is the exact width and height.
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
    """Return the part of the image that the result of `view` depends on.

    It includes all pixels that the filter reaches, and a small margin.
    """
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

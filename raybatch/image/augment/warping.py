"""Rotations, shears, other affine changes, and perspective, with torchvision's parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from raybatch.checks import checked_fill, is_number, pair
from raybatch.image.augment.chance import check_probability
from raybatch.image.augment.transform import Geometric
from raybatch.image.resampling import RESAMPLING
from raybatch.image.view import Fill, Size, Step, Warp

Point = tuple[float, float]

_FILTERS = ("nearest", "bilinear", "bicubic")


@dataclass(frozen=True)
class RandomRotation(Geometric):
    """Rotate the image by a random angle, anticlockwise.

    Args:
        degrees: The angle is uniform in (min, max); one number d means (-d, d).
        interpolation: "nearest", "bilinear" or "bicubic".
        expand: Whether the result holds the whole rotated image. Otherwise it keeps the image's
            size.
        center: (x, y) in pixels, by default the middle of the image.
        fill: The value outside the image, one number or one for each channel; None is 0.
    """

    degrees: float | tuple[float, float]
    interpolation: str | int = "nearest"
    expand: bool = False
    center: tuple[float, float] | None = None
    fill: Fill | None = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "degrees", angles("degrees", self.degrees))
        set_warping(self)

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        return None if self.expand else size

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        angle = rng.uniform(*self.degrees)  # type: ignore[misc]
        size = width, height
        return [rotation(size, angle, resampling(self), filled(self), self.expand, self.center)]


@dataclass(frozen=True)
class RandomAffine(Geometric):
    """Rotate, shift, scale and shear the image at random, and keep its size.

    All changes are uniform in their ranges. Angles are in degrees, clockwise.

    Args:
        degrees: The angle of the rotation, (min, max); one number d means (-d, d).
        translate: (x, y), the largest shifts to either side, in fractions of width and height. A
            shift is a whole number of pixels.
        scale: The factor, (min, max).
        shear: The angle of the shear along the x axis, as for `degrees`; or four numbers, the last
            two for the y axis.
        interpolation: "nearest", "bilinear" or "bicubic".
        fill: The value outside the image, one number or one for each channel; None is 0.
        center: (x, y) in pixels, by default the middle of the image.
    """

    degrees: float | tuple[float, float]
    translate: tuple[float, float] | None = None
    scale: tuple[float, float] | None = None
    shear: float | Sequence[float] | None = None
    interpolation: str | int = "nearest"
    fill: Fill | None = 0
    center: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "degrees", angles("degrees", self.degrees))
        set_warping(self)
        if self.translate is not None:
            translate = pair("translate", self.translate)
            if not all(0 <= share <= 1 for share in translate):
                raise ValueError(f"translate must be fractions from 0 to 1, not {self.translate!r}")
            object.__setattr__(self, "translate", translate)
        if self.scale is not None:
            low, high = scale = pair("scale", self.scale)
            if not 0 < low <= high < math.inf:
                raise ValueError(f"scale must be (min, max) with 0 < min ≤ max, not {self.scale!r}")
            object.__setattr__(self, "scale", scale)
        if self.shear is not None:
            object.__setattr__(self, "shear", _shears(self.shear))

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        angle = rng.uniform(*self.degrees)  # type: ignore[misc]
        moved = (0, 0)
        if self.translate is not None:
            farthest = self.translate[0] * width, self.translate[1] * height
            moved = (
                round(rng.uniform(-farthest[0], farthest[0])),
                round(rng.uniform(-farthest[1], farthest[1])),
            )
        scale = 1.0 if self.scale is None else rng.uniform(*self.scale)
        shear = (0.0, 0.0)
        if self.shear is not None:
            limits: Any = self.shear
            shear = rng.uniform(*limits[:2]), rng.uniform(*limits[2:])
        size = width, height
        coefficients = affine(size, angle, moved, scale, shear, self.center)
        return [Warp(size, coefficients, resampling(self), filled(self))]


@dataclass(frozen=True)
class RandomPerspective(Geometric):
    """Show the image in a random perspective, with the probability `p`; its size is kept.

    Each corner moves inward by whole pixels, by at most half the width and half the height times
    `distortion_scale`, which is from 0 to 1. `fill` is the value outside the image, one number or
    one for each channel.
    """

    distortion_scale: float = 0.5
    p: float = 0.5
    interpolation: str | int = "bilinear"
    fill: Fill | None = 0

    def __post_init__(self) -> None:
        check_probability(self.p)
        set_warping(self)
        if not is_number(self.distortion_scale) or not 0 <= self.distortion_scale <= 1:
            raise ValueError(f"distortion_scale must be from 0 to 1, not {self.distortion_scale!r}")

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        if rng.random() >= self.p:
            return []
        x = int(self.distortion_scale * (width // 2)) + 1
        y = int(self.distortion_scale * (height // 2)) + 1
        near, far_x, far_y = 0, (width - x, width), (height - y, height)
        corners = [
            (int(rng.integers(*across)), int(rng.integers(*down)))
            for across, down in (
                ((near, x), (near, y)),
                (far_x, (near, y)),
                (far_x, far_y),
                ((near, x), far_y),
            )
        ]
        coefficients = perspective((width, height), corners)
        return [Warp((width, height), coefficients, resampling(self), filled(self))]


def affine(
    size: Size,
    angle: float,
    translate: Point,
    scale: float,
    shear: Point,
    center: Point | None = None,
) -> tuple[float, ...]:
    """Return the six coefficients of a rotation, shift, scaling and shears about `center`.

    They map the result to the image. Angles are in degrees. Order and rounding are those of
    torchvision's `affine`.
    """
    turn, shear_x, shear_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    x, y = (size[0] * 0.5, size[1] * 0.5) if center is None else center
    cosine = math.cos(turn - shear_y) / math.cos(shear_y)
    sine = math.sin(turn - shear_y) / math.cos(shear_y)
    across = -math.cos(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(turn)
    down = -math.sin(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(turn)
    a, b, d, e = (value / scale for value in (down, -across, -sine, cosine))
    c = a * (-x - translate[0]) + b * (-y - translate[1]) + x
    f = d * (-x - translate[0]) + e * (-y - translate[1]) + y
    return a, b, c, d, e, f


def rotation(
    size: Size,
    angle: float,
    resample: Image.Resampling,
    fill: Fill,
    expand: bool = False,
    center: Point | None = None,
) -> Warp:
    """Return the step `image.rotate(angle, resample, expand, center, fillcolor=fill)`."""
    (width, height), turn = size, -math.radians(angle % 360)
    cosine, sine = round(math.cos(turn), 15), round(math.sin(turn), 15)
    x, y = (width / 2, height / 2) if center is None else center
    c = cosine * -x + sine * -y + 0.0 + x
    f = -sine * -x + cosine * -y + 0.0 + y
    if expand:
        corners = [(0, 0), (width, 0), (width, height), (0, height)]
        columns = [cosine * column + sine * row + c for column, row in corners]
        rows = [-sine * column + cosine * row + f for column, row in corners]
        new_width = math.ceil(max(columns)) - math.floor(min(columns))
        new_height = math.ceil(max(rows)) - math.floor(min(rows))
        left, top = -(new_width - width) / 2.0, -(new_height - height) / 2.0
        c, f = cosine * left + sine * top + c, -sine * left + cosine * top + f
        size = new_width, new_height
    return Warp(size, (cosine, sine, c, -sine, cosine, f), resample, fill)


def perspective(size: Size, corners: Sequence[Point]) -> tuple[float, ...]:
    """Return the eight coefficients that move the corners of an image of `size` to `corners`.

    They map the result to the image. Corners begin at the top left and go clockwise. The result is
    rounded to single precision, as in torchvision.
    """
    right, bottom = size[0] - 1, size[1] - 1
    equations, values = [], []
    for (x, y), (old_x, old_y) in zip(
        corners, [(0, 0), (right, 0), (right, bottom), (0, bottom)], strict=True
    ):
        equations.append([x, y, 1, 0, 0, 0, -old_x * x, -old_x * y])
        equations.append([0, 0, 0, x, y, 1, -old_y * x, -old_y * y])
        values += [old_x, old_y]
    solution = np.linalg.lstsq(np.array(equations, float), np.array(values, float), rcond=None)[0]
    return tuple(float(value) for value in solution.astype(np.float32))


def angles(name: str, value: Any) -> tuple[float, float]:
    """Return the smallest and the largest angle, in degrees, that `value` allows."""
    if is_number(value):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be (min, max) or a number of 0 or more, not {value!r}")
        return 0.0 - value, float(value)
    low, high = pair(name, value)
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"{name} must be (min, max) with min ≤ max, not {value!r}")
    return low, high


def set_warping(transform: Any) -> None:
    """Check and set `interpolation`, `fill` and any `center` of a frozen dataclass."""
    name = transform.interpolation
    if isinstance(name, int):
        name = Image.Resampling(name).name.lower()
    if name not in _FILTERS:
        raise ValueError(
            f"interpolation must be one of {', '.join(_FILTERS)}, not {transform.interpolation!r}"
        )
    object.__setattr__(transform, "interpolation", name)
    if transform.fill is not None:
        object.__setattr__(transform, "fill", checked_fill(transform.fill))
    if getattr(transform, "center", None) is not None:
        object.__setattr__(transform, "center", pair("center", transform.center))


def resampling(transform: Any) -> Image.Resampling:
    """Return Pillow's filter for the `interpolation` of a transform."""
    return RESAMPLING[transform.interpolation]


def filled(transform: Any) -> Fill:
    """Return the `fill` of a transform in whole numbers; None is 0."""
    fill = transform.fill
    return tuple(map(int, fill)) if isinstance(fill, tuple) else int(fill or 0)


def _shears(value: Any) -> tuple[float, ...]:
    """Return (min, max) of the shear along the x axis, and along the y axis."""
    limits = () if is_number(value) else tuple(value)
    if len(limits) == 4:
        return *angles("shear", limits[:2]), *angles("shear", limits[2:])
    return *angles("shear", value), 0.0, 0.0

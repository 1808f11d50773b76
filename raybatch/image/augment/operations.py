"""The operations that the policies draw from, and their ranges of magnitudes.

Names and ranges follow torchvision's `_AUGMENTATION_SPACE`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from raybatch.image.augment import levels
from raybatch.image.augment.levels import Recolor, Recolored
from raybatch.image.augment.transform import Paint
from raybatch.image.augment.warping import affine, rotation
from raybatch.image.view import Fill, Size, Step, Warp
from raybatch.image.warp_kernel import warped

_single = np.float32


class Canvas(NamedTuple):
    """The size of the image, the filter to resample it, and the value of pixels outside it."""

    size: Size
    resample: Image.Resampling = Image.Resampling.NEAREST
    fill: Fill = 0


# A function that returns the step of an operation with a magnitude.
Operation: TypeAlias = Callable[[float, Canvas], Step | Paint]


def _sheared(magnitude: float, canvas: Canvas, *, down: bool = False) -> Warp:
    angle = math.degrees(math.atan(magnitude))
    shear = (0.0, angle) if down else (angle, 0.0)
    return Warp(canvas.size, affine(canvas.size, 0, (0, 0), 1, shear, (0, 0)), *canvas[1:])


def _translated(magnitude: float, canvas: Canvas, *, down: bool = False) -> Warp:
    offset = (0, int(magnitude)) if down else (int(magnitude), 0)
    return Warp(canvas.size, affine(canvas.size, 0, offset, 1, (0, 0)), *canvas[1:])


def _rotated(magnitude: float, canvas: Canvas) -> Warp:
    return rotation(canvas.size, magnitude, canvas.resample, canvas.fill)


def _scaled(change: Recolor) -> Operation:
    """Return the operation whose factor is 1 plus the magnitude."""
    return lambda magnitude, _: Recolored(((change, 1.0 + magnitude),))


def _plain(change: Recolor) -> Operation:
    return lambda _, __: Recolored(((change, None),))


OPERATIONS: Mapping[str, Operation] = {
    "Identity": lambda _, __: Recolored(()),
    "ShearX": _sheared,
    "ShearY": partial(_sheared, down=True),
    "TranslateX": _translated,
    "TranslateY": partial(_translated, down=True),
    "Rotate": _rotated,
    "Brightness": _scaled(levels.brightness),
    "Color": _scaled(levels.saturation),
    "Contrast": _scaled(levels.contrast),
    "Sharpness": _scaled(levels.sharpness),
    "Posterize": lambda magnitude, _: Recolored(((levels.posterize, int(magnitude)),)),
    "Solarize": lambda magnitude, _: Recolored(((levels.solarize, 255.0 * magnitude),)),
    "AutoContrast": _plain(levels.autocontrast),
    "Equalize": _plain(levels.equalize),
    "Invert": _plain(levels.invert),
}


@dataclass(frozen=True)
class Range:
    """A range of magnitudes.

    Args:
        start: The first magnitude.
        end: The last magnitude.
        is_signed: Whether a magnitude gets a random sign.
        edge: "width" or "height", if `end` is a fraction of that edge of the image.
        is_whole: Whether magnitudes are rounded to whole numbers.
    """

    start: float
    end: float
    is_signed: bool = False
    edge: str | None = None
    is_whole: bool = False

    def magnitude(self, number: int, count: int, size: Size) -> float:
        """Return the magnitude `number` of `count` evenly spaced ones, in single precision."""
        start, end = self.start, self.end
        if self.is_whole:
            step = (count - 1) / (start - end)
            return float(np.rint(_single(start) - _single(number) / _single(step)))
        if self.edge is not None:
            end *= size[0] if self.edge == "width" else size[1]
        # As torch.linspace does for torchvision, compute each half from its own end. There the
        # processor multiplies and adds with one rounding; rounding a double once gives the same
        # here.
        step = float((_single(end) - _single(start)) / _single(count - 1))
        start, end = float(_single(start)), float(_single(end))
        from_start = number < count // 2
        value = start + step * number if from_start else end - step * (count - 1 - number)
        return float(_single(value))


# A table of operations and their ranges. None is for an operation without a magnitude.
Space: TypeAlias = Mapping[str, Range | None]


def _space(
    shear: float,
    translate_x: Range,
    translate_y: Range,
    angle: float,
    factor: float,
    bits: Range,
) -> dict[str, Range | None]:
    factors = Range(0.0, factor, is_signed=True)
    return {
        "ShearX": Range(0.0, shear, is_signed=True),
        "ShearY": Range(0.0, shear, is_signed=True),
        "TranslateX": translate_x,
        "TranslateY": translate_y,
        "Rotate": Range(0.0, angle, is_signed=True),
        "Brightness": factors,
        "Color": factors,
        "Contrast": factors,
        "Sharpness": factors,
        "Posterize": bits,
        "Solarize": Range(1.0, 0.0),
        "AutoContrast": None,
        "Equalize": None,
    }


def _of_edges(share: float) -> tuple[Range, Range]:
    return Range(0.0, share, True, "width"), Range(0.0, share, True, "height")


_BASE = _space(0.3, *_of_edges(150 / 331), 30.0, 0.9, Range(8, 4, is_whole=True))
_PIXELS = Range(0.0, 32.0, is_signed=True)

AUTO_SPACE: Space = {**_BASE, "Invert": None}
RANDOM_SPACE: Space = {"Identity": None, **_BASE}
WIDE_SPACE: Space = {
    "Identity": None,
    **_space(0.99, _PIXELS, _PIXELS, 135.0, 0.99, Range(8, 2, is_whole=True)),
}
MIX_SPACE: Space = _space(0.3, *_of_edges(1 / 3), 30.0, 0.9, Range(4, 0, is_whole=True))
# Brightness, contrast, colour and sharpness are left out, because the robustness tests that AugMix
# was made for change these too.
PARTIAL_MIX_SPACE: Space = {
    name: extent
    for name, extent in MIX_SPACE.items()
    if name not in ("Brightness", "Color", "Contrast", "Sharpness")
}


def drawn(
    name: str,
    extent: Range | None,
    number: int,
    count: int,
    canvas: Canvas,
    rng: np.random.Generator,
) -> Step | Paint:
    """Return the step of operation `name` with magnitude `number` of `count`, and a random sign.

    `extent` is None for an operation without a magnitude. Only a range that `is_signed` draws a
    sign.
    """
    if extent is None:
        return OPERATIONS[name](0.0, canvas)
    magnitude = extent.magnitude(number, count, canvas.size)
    if extent.is_signed and rng.random() < 0.5:
        magnitude = -magnitude
    return OPERATIONS[name](magnitude, canvas)


def joined(steps: Iterable[Step | Paint]) -> list[Step | Paint]:
    """Return `steps` without idle ones, and with successive changes of colour joined."""
    made: list[Step | Paint] = []
    for step in steps:
        if isinstance(step, Recolored):
            if not step.changes:
                continue
            if made and isinstance(made[-1], Recolored):
                made[-1] = Recolored(made[-1].changes + step.changes)
                continue
        made.append(step)
    return made


def done(steps: Sequence[Step | Paint], image: Image.Image) -> Image.Image:
    """Return `image` after `steps`, which are warps and changes of colour."""
    for step in steps:
        image = warped(image, step) if isinstance(step, Warp) else step(image)  # type: ignore[operator]
    return image

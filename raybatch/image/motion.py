"""Where the points of an image are after crops, scalings, flips and warps, as one matrix.

A point is a place in the plane of the image: (0, 0) is its upper left corner, and (0.5, 0.5) is the
centre of its first pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from raybatch.image.view import Box, Crop, Mirror, Size, Step, Warp

Points: TypeAlias = npt.NDArray[np.float64]  # (..., 2): x and y in pixels


class Motion(NamedTuple):
    """How the points of an image have moved to a result.

    Args:
        matrix: (3, 3). It maps a point (x, y, 1) of the image to the result, in homogeneous
            coordinates.
        size: The width and height of the result.
        visible: A box around the part of the result that shows the image. The rest is filled.
        shown: A box around the part of the image that was still visible when it was last warped.
        cuts: The matrix and the size at the start, and after each step that may have cut off
            points.
    """

    matrix: npt.NDArray[np.float64]
    size: Size
    visible: Box
    shown: Box
    cuts: tuple[tuple[npt.NDArray[np.float64], Size], ...] = ()

    @classmethod
    def of(cls, size: Size, steps: Iterable[Step] = ()) -> Motion:
        """Return the motion of an image of `size` by `steps`, one after the other."""
        motion = cls(np.eye(3), size, (0, 0, *size), (0, 0, *size), ((np.eye(3), size),))
        for step in steps:
            motion = motion.then(step)
        return motion

    def then(self, step: Step) -> Motion:
        """Return this motion followed by `step`."""
        matrix, size, shown = _matrix_of(step, self.size), size_after(step, self.size), self.shown
        if isinstance(step, Warp):
            shown = _common(shown, _hull(_inverse(self.matrix), self.visible))
        visible = _common(_hull(matrix, self.visible), (0, 0, *size))
        matrix = matrix @ self.matrix
        cuts = self.cuts if isinstance(step, Mirror) else (*self.cuts, (matrix, size))
        return Motion(matrix, size, visible, shown, cuts)

    def points(self, points: npt.NDArray[Any]) -> Points:
        """Return where `points` (..., 2) of the image are in the result. Some may lie outside."""
        return _moved(self.matrix, points)

    def shows(self, points: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return for each of `points` (..., 2) whether no step has cut it off.

        Points on the edge count as inside, so that a flip loses none.
        """
        found = [_lies_in(size, _moved(matrix, points)) for matrix, size in self.cuts]
        return np.asarray(np.all(found, axis=0))

    def hulls(self, boxes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the smallest boxes (k, 4) around the moved `boxes`: left, top, right, bottom."""
        return _hulls(self.matrix, boxes)

    def seen(self, boxes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the parts of `hulls(boxes)` that show the image.

        A box that is out of sight has no area.
        """
        return _clipped(self.hulls(_clipped(boxes, self.shown)), self.visible)

    def in_fractions(self, before: Size) -> npt.NDArray[np.float64]:
        """Return the matrix (3, 3) for places in fractions of the width and the height.

        The image had the size `before`; if it is only stretched, the matrix is the identity.
        """
        return (
            np.diag([1 / self.size[0], 1 / self.size[1], 1]) @ self.matrix @ np.diag([*before, 1])
        )

    def inverted(self, size: Size) -> Motion:
        """Return the motion from the result back to the image, which has `size`."""
        return Motion(_inverse(self.matrix), size, (0, 0, *size), (0, 0, *self.size))


def is_alike(one: Motion, before: Size, other: Motion, other_before: Size) -> bool:
    """Return whether two images of the sizes `before` show the same part, turned the same way.

    The corners may be a pixel and a half apart, because whole pixels are cropped.
    """
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float64)
    places = _moved(_inverse(one.in_fractions(before)), corners)
    others = _moved(_inverse(other.in_fractions(other_before)), corners)
    pixel = 1 / np.minimum(before, other_before)
    return bool((np.abs(places - others) <= 1.5 * pixel).all())


def size_after(step: Step, size: Size) -> Size:
    """Return the width and the height of an image of `size` after `step`."""
    if isinstance(step, Mirror):
        return size
    if isinstance(step, Crop):
        left, top, right, bottom = step.rectangle
        return right - left, bottom - top
    return step.size


def _lies_in(size: Size, points: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(((points >= 0) & (points <= size)).all(axis=-1))


def _hulls(matrix: npt.NDArray[np.float64], boxes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    moved = _moved(matrix, corners)
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)


def _hull(matrix: npt.NDArray[np.float64], box: Box) -> Box:
    left, top, right, bottom = _hulls(matrix, np.array([box]))[0].tolist()
    return left, top, right, bottom


def _common(one: Box, other: Box) -> Box:
    """Return the overlap of two boxes. If they do not overlap, it has no area."""
    left, top, right, bottom = _clipped(np.array([one]), other)[0].tolist()
    return left, top, right, bottom


def _clipped(boxes: npt.NDArray[np.float64], extent: Box) -> npt.NDArray[np.float64]:
    left, top, right, bottom = extent
    low, high = [left, top, left, top], [right, bottom, right, bottom]
    return np.asarray(np.clip(boxes, low, high), np.float64)


def _matrix_of(step: Step, size: Size) -> npt.NDArray[np.float64]:
    if isinstance(step, Warp):
        back = np.append(step.coefficients, [0.0] * (8 - len(step.coefficients)) + [1.0])
        return _inverse(back.reshape(3, 3))
    if isinstance(step, Mirror):
        (width, height), (columns, rows) = size, step
        x, y = (-1.0, width) if columns else (1.0, 0.0), (-1.0, height) if rows else (1.0, 0.0)
    elif isinstance(step, Crop):
        left, top = step.rectangle[:2]
        x, y = (1.0, -left), (1.0, -top)
    else:
        low_x, low_y, high_x, high_y = step.box
        factor_x, factor_y = step.size[0] / (high_x - low_x), step.size[1] / (high_y - low_y)
        x, y = (factor_x, -low_x * factor_x), (factor_y, -low_y * factor_y)
    return np.array([[x[0], 0, x[1]], [0, y[0], y[1]], [0, 0, 1]], np.float64)


def _inverse(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _moved(matrix: npt.NDArray[np.float64], points: npt.NDArray[Any]) -> Points:
    scaled = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(scaled[..., :2] / scaled[..., 2:], np.float64)

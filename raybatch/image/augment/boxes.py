"""Moves bounding boxes and keypoints as their image moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.image.motion import Motion
from raybatch.image.view import Size
from raybatch.notices import is_told, tell

FORMATS = ("xyxy", "xywh", "cxcywh")


class BoxFormat:
    """How boxes (k, 4) are written.

    `name` is one of FORMATS. Values are in pixels or, if `relative`, in fractions of the width and
    height of the image.
    """

    def __init__(self, name: str, relative: bool) -> None:
        self._name = name
        self._relative = relative

    def corners(self, boxes: npt.NDArray[Any], size: Size) -> npt.NDArray[np.float64]:
        """Return boxes in an image of `size` as left, top, right and bottom, in pixels."""
        corners = boxes.astype(np.float64)
        if self._name != "xyxy":
            extent = corners[:, 2:].copy()
            if self._name == "cxcywh":
                corners[:, :2] -= extent / 2
            corners[:, 2:] = corners[:, :2] + extent
        turned = (corners[:, 2:] < corners[:, :2]).any(axis=1)
        if turned.any():
            number = int(turned.argmax())
            raise ValueError(
                f"boxes[{number}] is {boxes[number].tolist()}, whose width or height is below 0 in"
                f" the format {self._name}"
            )
        return corners * (size * 2) if self._relative else corners

    def check_fractions(self, boxes: npt.NDArray[Any]) -> None:
        """Raise ValueError if `boxes` should be fractions but lie far outside the image.

        Such boxes are most likely in pixels, and would all be dropped without a word.
        """
        far = (np.abs(boxes) > 2).any(axis=1)
        if self._relative and far.any():
            number = int(far.argmax())
            raise ValueError(
                f"boxes[{number}] is {boxes[number].tolist()}, but relative=True takes fractions of"
                " the width and height, from 0 to 1: leave it out for boxes in pixels"
            )

    def written(self, corners: npt.NDArray[np.float64], size: Size) -> npt.NDArray[np.float64]:
        """Return boxes, given as `corners` returns them, in this format."""
        boxes = corners / (size * 2) if self._relative else corners.copy()
        if self._name != "xyxy":
            boxes[:, 2:] -= boxes[:, :2]
            if self._name == "cxcywh":
                boxes[:, :2] += boxes[:, 2:] / 2
        return boxes


def as_boxes(boxes: Any) -> npt.NDArray[Any]:
    """Return `boxes` as floats (k, 4); integers become float32.

    TypeError or ValueError if they are not boxes.
    """
    array = _floats("boxes", boxes)
    if array.size == 0:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must have the shape (k, 4), not {array.shape}")
    return array


def as_keypoints(keypoints: Any) -> npt.NDArray[Any]:
    """Return `keypoints` as floats (..., 2) or (..., 3); integers become float32.

    TypeError or ValueError if they are not keypoints.
    """
    array = _floats("keypoints", keypoints)
    if array.shape == (0,):
        array = array.reshape(0, 2)
    if array.ndim < 2 or array.shape[-1] not in (2, 3):
        raise ValueError(
            "keypoints must have the shape (k, 2), (k, 3), (k, n, 2) or (k, n, 3), not"
            f" {array.shape}"
        )
    return array


def _floats(name: str, values: Any) -> npt.NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be rows of equal length, not {values!r}") from None
    if array.dtype.kind in "iu":
        return array.astype(np.float32)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be an array of float32 or float64, not of {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers, not {array[~np.isfinite(array)][0]}")
    return array


def moved_boxes(
    boxes: npt.NDArray[Any], motion: Motion, before: Size, how: BoxFormat, min_visible: float
) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Return the moved `boxes` that can still be seen, clipped to the image, and their indices.

    `before` is the size of the image before it moved. Boxes that keep less than `min_visible` of
    their area, or nothing, are dropped. After a rotation or a shear, a box is the smallest one
    around the moved corners.
    """
    how.check_fractions(boxes)
    corners = how.corners(boxes, before)
    _tell_misplaced(boxes, corners, before)
    whole, part = motion.hulls(corners), motion.seen(corners)
    seen, area = _areas(part), _areas(whole)
    kept = np.flatnonzero((seen > 0) & (seen >= min_visible * area))
    return how.written(part[kept], motion.size).astype(boxes.dtype), kept


def _tell_misplaced(boxes: npt.NDArray[Any], corners: npt.NDArray[np.float64], size: Size) -> None:
    """Tell of boxes that cannot belong to an image of `size`: once for each kind."""
    shape = f"{size[1]}x{size[0]} pixels (height x width)"
    key = "boxes outside of their image"
    if not is_told(key):
        outside = (corners[:, :2] >= size).any(axis=1) | (corners[:, 2:] <= 0).any(axis=1)
        if outside.any():
            box = boxes[outside.argmax()].tolist()
            tell(
                f"the box {box} lies outside its image of {shape}, and is dropped. If it is a box"
                " of the image before it was scaled, read the images without size, and let"
                " transforms such as Resize change them together with the boxes. (Reported for the"
                " first such box only.)",
                key,
            )
    key = "boxes of a pixel"
    if min(size) > 1 and len(corners) and not is_told(key) and (corners <= 1).all():
        tell(
            f"the boxes {boxes.tolist()} lie in the first pixel of their image of {shape}. If they"
            " are fractions of its width and height, give relative=True. (Reported for the first"
            " such boxes only.)",
            key,
        )


def _areas(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    return np.asarray(width * height)


def moved_keypoints(
    keypoints: npt.NDArray[Any],
    motion: Motion,
    before: Size,
    relative: bool,
    flip_pairs: Sequence[tuple[int, int]],
) -> npt.NDArray[Any]:
    """Return the moved `keypoints` of an image of size `before`; zeros for those out of sight.

    A keypoint (x, y, v) with v = 0 is missing, and becomes zeros. The `flip_pairs` swap places if
    the image was mirrored.
    """
    places = keypoints[..., :2] * before if relative else keypoints[..., :2]
    moved = motion.points(places)
    is_seen = motion.shows(places)
    if keypoints.shape[-1] == 3:
        is_seen &= keypoints[..., 2] > 0
    result = keypoints.copy()
    result[..., :2] = moved / motion.size if relative else moved
    result[~is_seen] = 0
    if flip_pairs and np.linalg.det(motion.matrix) < 0:
        one, other = np.array(flip_pairs).T
        result[..., [*one, *other], :] = result[..., [*other, *one], :]
    return result

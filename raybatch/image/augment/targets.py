"""The targets of an image: mask, boxes, their labels, and keypoints, which move with the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.checks import one_of
from raybatch.image.augment.boxes import (
    FORMATS,
    BoxFormat,
    as_boxes,
    as_keypoints,
    moved_boxes,
    moved_keypoints,
)
from raybatch.image.augment.masks import moved_mask
from raybatch.image.motion import Motion
from raybatch.image.view import Size, Step
from raybatch.structure import map_leaves

KINDS = ("mask", "boxes", "labels", "keypoints")


@dataclass(frozen=True)
class Targets:
    """How the targets of an image are written, and what happens to targets that leave the image.

    Args:
        box_format: "xyxy" (left, top, right, bottom), "xywh" (left, top, width, height) or "cxcywh"
            (centre, width, height).
        relative: Whether boxes and keypoints are in fractions of the image's width and height.
            Otherwise they are in pixels.
        min_visible: A box that keeps less than this share of its area, or nothing, is dropped with
            its labels.
        mask_fill: The class outside the image. None means 255; in masks of bools, and in (k, H, W)
            with a mask for each of k objects, it means 0 (no object).
        flip_pairs: Pairs of keypoints that swap places in a mirror image, such as ((1, 2), (3, 4))
            for the left and right eye and ear.

    Boxes and keypoints are places in the plane of the image: (0, 0) is its upper left corner, and
    (0.5, 0.5) the centre of its first pixel. (When torchvision flips keypoints, it takes them for
    indices of pixels, which is half a pixel less.)
    """

    box_format: str = "xyxy"
    relative: bool = False
    min_visible: float = 0.0
    mask_fill: int | None = None
    flip_pairs: Sequence[tuple[int, int]] = ()

    def __post_init__(self) -> None:
        one_of("box_format", self.box_format, FORMATS)
        if not 0 <= self.min_visible <= 1:
            raise ValueError(f"min_visible must be from 0 to 1, not {self.min_visible!r}")

    def moved(self, given: Mapping[str, Any], steps: Sequence[Step], size: Size) -> dict[str, Any]:
        """Return the targets after `steps` of their image, which had `size`.

        `given` holds them by the names in KINDS. In the result, those that were not given are None.
        """
        result = {kind: given.get(kind) for kind in KINDS}
        motion = Motion.of(size, steps)
        kept = None
        if result["boxes"] is not None:
            boxes = as_boxes(result["boxes"])
            count, how = len(boxes), BoxFormat(self.box_format, self.relative)
            result["boxes"], kept = moved_boxes(boxes, motion, size, how, self.min_visible)
        if result["labels"] is not None:
            if kept is None:
                raise TypeError("labels belong to boxes: give boxes too")
            result["labels"] = map_leaves(
                lambda each: _rows("labels", each, kept, count), result["labels"]
            )
        if result["mask"] is not None:
            mask = moved_mask(result["mask"], steps, size, self.mask_fill)
            of_objects = kept is not None and getattr(mask, "ndim", 2) == 3
            result["mask"] = _rows("mask", mask, kept, count) if of_objects else mask
        if result["keypoints"] is not None:
            points = as_keypoints(result["keypoints"])
            points = moved_keypoints(points, motion, size, self.relative, self.flip_pairs)
            of_objects = kept is not None and points.ndim == 3
            result["keypoints"] = _rows("keypoints", points, kept, count) if of_objects else points
        return result

    def moved_back(self, boxes: Any, steps: Sequence[Step], size: Size) -> npt.NDArray[Any]:
        """Return `boxes` in the result of `steps` as boxes in the original image, clipped to it.

        `size` is the width and height of the original image.
        """
        array, how = as_boxes(boxes), BoxFormat(self.box_format, self.relative)
        motion = Motion.of(size, steps)
        back = motion.inverted(size).seen(how.corners(array, motion.size))
        return how.written(back, size).astype(array.dtype)


def _rows(kind: str, values: Any, kept: Any, count: int) -> Any:
    """Return the `kept` rows of `values`, which has one row for each of `count` boxes."""
    need = f"{kind} must have a row for each of {count} boxes"
    if not hasattr(values, "__len__"):
        raise TypeError(
            f"{need}: give a list or an array, not {values!r}. (A tuple or dict of labels holds"
            " several lists or arrays)"
        )
    if len(values) != count:
        raise ValueError(f"{need}, not {len(values)}")
    if len(kept) == count:
        return values
    if isinstance(values, list):
        return [values[row] for row in kept]
    return values[kept]


@dataclass(frozen=True)
class OnFields:
    """`change` as a function of samples that are dicts, called as `fn(sample, rng=rng)`.

    `fields` maps "image" and the names in KINDS to the names of the sample's fields; labels may
    have several. Pillow images become arrays, which can be stacked.
    """

    change: Any
    fields: Mapping[str, str | tuple[str, ...]]
    targets: Targets

    def __call__(self, sample: Mapping[str, Any], *, rng: np.random.Generator) -> dict[str, Any]:
        given = {kind: _of(sample, names) for kind, names in self.fields.items()}
        changed = self.change.together(given, self.targets, rng)
        result = dict(sample)
        for kind, names in self.fields.items():
            if isinstance(names, tuple):
                result.update(zip(names, changed[kind], strict=True))
            else:
                is_image = isinstance(changed[kind], Image.Image)
                result[names] = np.array(changed[kind]) if is_image else changed[kind]
        return result


def _of(sample: Mapping[str, Any], names: str | tuple[str, ...]) -> Any:
    """Return the field with this name, or a tuple of fields; KeyError if one is missing."""
    if isinstance(names, tuple):
        return tuple(_of(sample, name) for name in names)
    if names not in sample:
        raise KeyError(f"the sample has no field {names!r}; it has {sorted(sample)}")
    return sample[names]

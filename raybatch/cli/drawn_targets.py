"""Masks and boxes for the images of a folder: transformed with the images and drawn into them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from raybatch.cli.options import CannotRunError
from raybatch.image.overlay import overlay
from raybatch.ragged import RaggedArray


def mask_paths(names: Sequence[str], masks: str) -> list[str]:
    """Return the paths of PNG files below `masks` that have the `names` of images."""
    return [os.path.join(masks, PurePath(name).with_suffix(".png")) for name in names]


def coco_boxes(below: Sequence[str], root: str, file: str) -> tuple[RaggedArray, RaggedArray]:
    """Return the boxes and their classes for images with the names `below`, from a COCO file.

    Boxes are (k, 4) for each image: left, top, right and bottom, in pixels. An image that is not in
    the file has no boxes. Raises CannotRunError if the file has another format, or no box for any
    of these images.
    """
    try:
        with open(file, encoding="utf-8") as stream:
            read = json.load(stream)
        names = {each["id"]: each["file_name"] for each in read["images"]}
        rows: dict[str, list[list[float]]] = {}
        for each in read["annotations"]:
            left, top, width, height = each["bbox"]
            row = [each["category_id"], left, top, left + width, top + height]
            rows.setdefault(names[each["image_id"]], []).append(row)
    except (ValueError, TypeError, KeyError) as error:
        raise CannotRunError(
            f"{file!r} is not a file of boxes in COCO's format: {error!r}"
        ) from error
    found = [np.array(rows.get(name, []), np.float32).reshape(-1, 5) for name in below]
    if not any(map(len, found)):
        raise CannotRunError(f"{file!r} has no box for any image below {root!r}")
    boxes = RaggedArray([each[:, 1:] for each in found], np.float32, (4,))
    return boxes, RaggedArray([each[:, 0] for each in found], np.int64, ())


@dataclass(frozen=True)
class Shown:
    """Transforms a sample, and draws its mask or boxes into its image.

    The sample is (index, image, label, ...), and the result (index, image, label). `names` are the
    names of the members after the label, such as "mask": keyword arguments of `augment` and of
    `overlay`.
    """

    augment: Callable[..., Any] | None
    names: tuple[str, ...]

    def __call__(
        self, index: Any, image: Any, label: Any, *rest: Any, rng: np.random.Generator
    ) -> tuple[Any, Any, Any]:
        given = dict(zip(self.names, rest, strict=True))
        if self.augment is not None:
            changed = self.augment(image, rng=rng, **given)
            image, *moved = changed if given else (changed,)
            given = dict(zip(self.names, moved, strict=True))
        return index, overlay(image, **given) if given else image, label

"""Masks and boxes of the images of a folder, changed as these are and drawn into them."""

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
    """Return the boxes of the images that are called as `below`, (k, 4) of left, top, right and bottom in pixels, and their classes, out of COCO's JSON.

    An image that is not in the file has none. CannotRunError for a file of another kind, or without any box of these images.
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
        raise CannotRunError(f"{file!r} holds no boxes as COCO writes them: {error!r}") from error
    found = [np.array(rows.get(name, []), np.float32).reshape(-1, 5) for name in below]
    if not any(map(len, found)):
        raise CannotRunError(f"{file!r} holds no box of an image below {root!r}")
    boxes = RaggedArray([each[:, 1:] for each in found], np.float32, (4,))
    return boxes, RaggedArray([each[:, 0] for each in found], np.int64, ())


@dataclass(frozen=True)
class Shown:
    """Called for a sample (index, image, label, ...), it returns (index, image, label): changed, and with all else drawn in.

    `names` are those of the rest of the sample, such as "mask": arguments of `augment`, and of `overlay`.
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

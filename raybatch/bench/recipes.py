"""Recipes: the arrays that images become, and how to make them with Pillow and NumPy alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.augment import (
    RandomResizedCrop,
    Transform,
    classification_eval,
    classification_train,
)

# The mean and standard deviation of ImageNet's pixels, as floats from 0 to 1. Nearly all image
# models are trained with them.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_FILTER = Image.Resampling.BILINEAR
_FACTOR = np.array([1 / (255 * std) for std in STD], np.float32)[:, None, None]
_OFFSET = np.array([-mean / std for mean, std in zip(MEAN, STD, strict=True)], np.float32)
_OFFSET = _OFFSET[:, None, None]


class Recipe(ABC):
    """How an image becomes an array of `dtype`, with values from `lowest` to `highest`.

    If it `is_random`, no two draws of an image are alike, so pixels cannot be compared.
    """

    name: str
    dtype: type[np.generic]
    lowest: float
    highest: float
    is_random: bool

    @abstractmethod
    def shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """Return the shape of one image's array, for a `size` of (height, width)."""

    @abstractmethod
    def describe(self, size: tuple[int, int]) -> str:
        """Return a description of the arrays in a few words."""

    def transform(self, size: tuple[int, int]) -> Transform | None:
        """Return raybatch's transform for images of that size; None if it needs none."""
        return None

    @abstractmethod
    def write(self, image: Image.Image, row: npt.NDArray[Any]) -> None:
        """Write the array of an RGB `image` to `row`, whose shape gives the size."""


class Stretch(Recipe):
    """Each image stretched to the size: uint8 `(height, width, 3)`."""

    name = "stretch"
    dtype = np.uint8
    lowest, highest = 0, 255
    is_random = False

    def shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        return (*size, 3)

    def describe(self, size: tuple[int, int]) -> str:
        height, width = size
        return f"{width}×{height}"

    def write(self, image: Image.Image, row: npt.NDArray[Any]) -> None:
        row[...] = np.asarray(image.resize((row.shape[1], row.shape[0]), _FILTER))


class Eval(Stretch):
    """The centre of each image: uint8 `(height, width, 3)`.

    First the shorter edge is scaled to 256/224 of the size.
    """

    name = "eval"

    def describe(self, size: tuple[int, int]) -> str:
        return f"the middle at {super().describe(size)}"

    def transform(self, size: tuple[int, int]) -> Transform:
        return classification_eval(size)

    def write(self, image: Image.Image, row: npt.NDArray[Any]) -> None:
        height, width, _ = row.shape
        edge, shorter = round(max(height, width) * 256 / 224), min(image.size)
        columns, rows = (int(edge * side / shorter) for side in image.size)
        left, top = round((columns - width) / 2), round((rows - height) / 2)
        scaled = image.resize((columns, rows), _FILTER)
        row[...] = np.asarray(scaled.crop((left, top, left + width, top + height)))


class Train(Recipe):
    """A random part, scaled, flipped at random and normalised: float32 `(3, height, width)`.

    `RandomResizedCrop` chooses the part, with its default scale and ratio; `MEAN` and `STD`
    normalise.
    """

    name = "train"
    dtype = np.float32
    lowest = min(-mean / std for mean, std in zip(MEAN, STD, strict=True))
    highest = max((1 - mean) / std for mean, std in zip(MEAN, STD, strict=True))
    is_random = True

    def shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        return (3, *size)

    def describe(self, size: tuple[int, int]) -> str:
        height, width = size
        return f"random parts at {width}×{height}, mirrored at random, normalised float32 CHW"

    def transform(self, size: tuple[int, int]) -> Transform:
        return classification_train(size)

    def write(self, image: Image.Image, row: npt.NDArray[Any]) -> None:
        _, height, width = row.shape
        rng = np.random.default_rng()
        box = RandomResizedCrop((height, width)).box(*image.size, rng)
        part = image.resize((width, height), _FILTER, box=box)
        if rng.random() < 0.5:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        normalise(np.asarray(part), row)


def normalise(pixels: npt.NDArray[np.uint8], row: npt.NDArray[np.float32]) -> None:
    """Write `pixels`, (H, W, 3), to `row`, (3, H, W), normalised by `MEAN` and `STD`."""
    row[...] = np.ascontiguousarray(pixels.transpose(2, 0, 1))  # as bytes, which is faster
    row *= _FACTOR
    row += _OFFSET


STRETCH, TRAIN, EVAL = Stretch(), Train(), Eval()
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (STRETCH, TRAIN, EVAL)}

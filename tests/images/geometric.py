"""Transforms that move pixels, and images to apply them to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image import augment
from raybatch.image.view import Crop, Mirror, Step

FILL = 7


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


class Nearest(augment.Geometric):
    """The transform `change` with nearest-pixel resampling.

    It resamples an image like a mask, so a test can use one array as both.
    """

    def __init__(self, change: augment.Geometric) -> None:
        self._change = change

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        return [
            (
                step
                if isinstance(step, (Crop, Mirror))
                else step._replace(resample=Image.Resampling.NEAREST)
            )
            for step in self._change.steps(width, height, rng)
        ]


CROP = augment.RandomResizedCrop((20, 24))

TURN = augment.RandomAffine(180, shear=17, interpolation="bilinear", fill=FILL)

TILT = augment.RandomPerspective(0.2, p=1, fill=FILL)

GEOMETRIC: list[augment.Geometric] = [
    CROP,
    augment.RandomCrop((18, 22), padding=4, fill=FILL),
    augment.CenterCrop(26),
    augment.RandomHorizontalFlip(),
    augment.RandomVerticalFlip(),
    augment.Resize((20, 33), "bicubic"),
    augment.Resize(25),
    augment.Letterbox(31, FILL),
    augment.RandomRotation(180, expand=True, fill=FILL),
    augment.RandomAffine(40, (0.2, 0.2), (0.6, 1.5), fill=FILL),
    TURN,
    TILT,
    augment.RandomPerspective(p=1, fill=FILL),
]


def numbered(dtype: Any = np.uint8) -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(0, 200, (28, 36)).astype(dtype)


def palette_image(values: npt.NDArray[np.uint8]) -> Image.Image:
    """Return class numbers as an image with a palette of colours, as PASCAL VOC stores them."""
    image = Image.fromarray(values).convert("P")
    image.putdata(values.ravel().tolist())
    palette = np.zeros((256, 3), np.uint8)
    for number in range(256):
        for bit in range(8):
            for channel in range(3):
                palette[number, channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    image.putpalette(palette.ravel().tolist())
    return image

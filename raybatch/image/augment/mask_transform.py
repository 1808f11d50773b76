"""Transforms of images, for masks that are read separately from their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raybatch.image.augment.masks import IGNORED, of_mask
from raybatch.image.augment.transform import (
    Change,
    Compose,
    Drawn,
    Geometric,
    Transform,
    flat,
    is_random,
)
from raybatch.image.view import Step


@dataclass(frozen=True)
class MaskTransform(Geometric):
    """`change` for the masks of its images: it draws the same numbers, and only moves pixels.

    `change` is not a `Compose`.
    """

    change: Change
    fill: int

    @property
    def is_random(self) -> bool:  # type: ignore[override]
        return is_random(self.change)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        if not isinstance(self.change, Drawn):
            return []
        drawn = self.change.steps(width, height, rng)
        return [of_mask(step, self.fill) for step in drawn if not callable(step)]

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        return self.change.output_size(size) if isinstance(self.change, Transform) else size


def for_masks(change: Change, fill: int = IGNORED) -> Compose:
    """Return `change` for masks that are read separately; it draws the same numbers as for images.

    Pixels move as those of the images do. Scaling takes the nearest pixel, and changes of colour
    are left out. `fill` is the class outside the image. For files, `mask=True` does this. For
    packed masks, write `PackedAccessor("packed", "mask", transform=for_masks(change))`.
    """
    return Compose([MaskTransform(part, fill) for part in flat(change)])

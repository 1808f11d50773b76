"""A transform that depends on the size of the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PerSize:
    """The transform `make((height, width))` for the `size` of an accessor.

    It is for accessors that have a size for each image. The transform itself must give images of
    that size; the accessor does not scale them first:

        crop = augment.PerSize(lambda size: augment.RandomResizedCrop(size))
        images = rb.ImageFileAccessor(paths, size=buckets.sizes, transform=crop)
    """

    make: Callable[[tuple[int, int]], Any]

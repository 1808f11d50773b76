"""A transform for each size of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PerSize:
    """The transform that `make((height, width))` returns for the `size` of an accessor.

    That transform gives images of this size itself, so the accessor does not scale them before. It
    is for accessors that have a size for each image:

        crop = augment.PerSize(lambda size: augment.RandomResizedCrop(size))
        images = rb.ImageFileAccessor(paths, size=buckets.sizes, transform=crop)
    """

    make: Callable[[tuple[int, int]], Any]

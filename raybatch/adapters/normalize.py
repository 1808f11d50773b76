"""Bytes that become floats where they are used: what `normalize=` and `channels_first=` of the adapters ask for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from raybatch.adapters.ahead import map_leaves
from raybatch.image.pixels import BoundLayout, PixelLayout


class ImageLayout:
    """The layout that the images of a batch get: `normalize` is (mean, std), as those of a `PixelLayout`, or None.

    The images of a batch are its uint8 arrays `(n, H, W, C)`; if it has none, the first that is `(n, H, W)`. Labels and masks
    beside them stay as they are. TypeError or ValueError for what is no (mean, std).
    """

    def __init__(self, normalize: Any, channels_first: bool) -> None:
        mean, std = (None, None) if normalize is None else _mean_and_std(normalize)
        self.layout = PixelLayout(channels_first=channels_first, mean=mean, std=std)
        self.is_float = normalize is not None

    @classmethod
    def asked_for(cls, normalize: Any, channels_first: bool) -> ImageLayout | None:
        """Return the layout, None if images stay as they are."""
        return cls(normalize, channels_first) if normalize is not None or channels_first else None

    def bound(self, images: Any) -> BoundLayout:
        """Return the layout for these images, uint8 `(n, H, W, C)` or `(n, H, W)`; ValueError for another number of channels."""
        return self.layout.bound(np.dtype(np.uint8), tuple(images.shape[3:]))

    def map_batch(
        self, change_image: Callable[[Any], Any], change: Callable[[Any], Any], batch: Any
    ) -> Any:
        """Return `batch` with `change_image` of its images and `change` of all else; ValueError if there is no image."""
        leaves: list[Any] = []
        map_leaves(leaves.append, batch)
        images = _images_among(leaves)
        if not images:
            seen = ", ".join(map(_described, leaves))
            raise ValueError(
                "normalize and channels_first are for batches with uint8 images (n, H, W, C) or (n, H, W), and this one has "
                f"{seen}: images that are floats already need neither"
            )
        numbers = itertools.count()
        return map_leaves(
            lambda leaf: (change_image if next(numbers) in images else change)(leaf), batch
        )


def _mean_and_std(normalize: Any) -> tuple[Any, Any]:
    try:
        mean, std = normalize
    except (TypeError, ValueError):
        raise TypeError(f"normalize must be (mean, std), not {normalize!r}") from None
    return mean, std


def _images_among(leaves: list[Any]) -> set[int]:
    """Return the numbers of the leaves that are images."""
    bytes_ = [
        (number, leaf.ndim)
        for number, leaf in enumerate(leaves)
        if isinstance(leaf, np.ndarray) and leaf.dtype == np.uint8
    ]
    images = {number for number, axes in bytes_ if axes == 4}
    return images or {number for number, axes in bytes_ if axes == 3 and number == bytes_[0][0]}


def _described(leaf: Any) -> str:
    return f"{leaf.dtype} {leaf.shape}" if isinstance(leaf, np.ndarray) else type(leaf).__name__

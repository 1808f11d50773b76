"""The layout of images that `normalize=` and `channels_first=` of the adapters ask for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.image.pixels import BoundLayout, PixelLayout
from raybatch.structure import described, leaves, map_arrays


class ImageLayout:
    """The layout for the images of a batch.

    `normalize` is (mean, std) as in `PixelLayout`, or None. All uint8 arrays `(n, H, W, C)` of a
    batch are images. If there is none, and the first member of the batch is uint8 `(n, H, W)`, that
    member holds grey images. Everything else stays as it is, such as labels, and masks `(n, H, W)`
    beside images. TypeError or ValueError for a wrong (mean, std).
    """

    def __init__(self, normalize: Any, channels_first: bool) -> None:
        mean, std = (None, None) if normalize is None else _mean_and_std(normalize)
        self.layout = PixelLayout(channels_first=channels_first, mean=mean, std=std)
        self.is_float = normalize is not None

    @classmethod
    def asked_for(cls, normalize: Any, channels_first: bool) -> ImageLayout | None:
        """Return the layout; None if images stay as they are."""
        return cls(normalize, channels_first) if normalize is not None or channels_first else None

    def bound(self, images: Any) -> BoundLayout:
        """Return the layout for these images, uint8 `(n, H, W, C)` or `(n, H, W)`.

        ValueError if mean and std have another number of channels.
        """
        try:
            return self.layout.bound(np.dtype(np.uint8), tuple(images.shape[3:]))
        except ValueError as error:
            raise ValueError(
                f"{error}: {described(images)}; every uint8 array of four axes counts as images"
            ) from None

    @property
    def numbers(self) -> npt.NDArray[np.float32]:
        """255, mean and std of each channel, `(3, C)`, or `(3, 1)` if they are the same for all."""
        mean: Any = self.layout.mean
        std: Any = self.layout.std
        return np.array(np.broadcast_arrays(255, mean, std), np.float32)

    def moves_channels(self, images: Any) -> bool:
        """Return whether the channels of these images still have to be moved to the front."""
        return self.layout.channels_first and images.ndim == 4

    def map_batch(
        self, change_image: Callable[[Any, int], Any], change: Callable[[Any], Any], batch: Any
    ) -> Any:
        """Return `batch` with `change_image` applied to images and `change` to all else.

        `change_image` gets an array, and its number among the leaves of the batch, which is the
        same in every batch. ValueError if there is no image.
        """
        found: list[Any] = []
        map_arrays(found.append, batch)
        images = {number for number, leaf in enumerate(found) if _is_bytes(leaf, axes=4)}
        # Only the first member is looked at. A later array of three axes may hold masks beside
        # float images, and an array in a list may be one image.
        if not images and _is_bytes(next(leaves(batch), None), axes=3):
            images = {0}
        if not images:
            raise ValueError(
                "normalize and channels_first need images: uint8 arrays (n, H, W, C), or (n, H, W)"
                f" as the first member of a batch. This batch is {described(batch)}. For images"
                " that are already floats, give layout= to their accessor instead"
            )
        numbers = itertools.count()

        def changed(leaf: Any) -> Any:
            number = next(numbers)
            return change_image(leaf, number) if number in images else change(leaf)

        return map_arrays(changed, batch)


def _mean_and_std(normalize: Any) -> tuple[Any, Any]:
    try:
        mean, std = normalize
    except (TypeError, ValueError):
        raise TypeError(f"normalize must be (mean, std), not {normalize!r}") from None
    if mean is None or std is None:
        raise TypeError(f"normalize must be (mean, std), not {normalize!r}")
    return mean, std


def _is_bytes(leaf: Any, axes: int) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.dtype == np.uint8 and leaf.ndim == axes

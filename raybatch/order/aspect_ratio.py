"""Groups of images with similar aspect ratios, each with its own size, for a `GroupedSampler`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.checks import positive_int
from raybatch.order.indices import as_index_array


@dataclass(frozen=True)
class AspectRatioBuckets:
    """Images in buckets of similar aspect ratio.

    `groups`, int64 `(n,)`, is the bucket of each image. `shapes`, int64 `(buckets, 2)`, is the
    (height, width) of each bucket.
    """

    groups: npt.NDArray[np.int64]
    shapes: npt.NDArray[np.int64]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The (height, width) of each image, int64 `(n, 2)`; pass it to an accessor as `size`."""
        return self.shapes[self.groups]

    def __repr__(self) -> str:
        counts = np.bincount(self.groups, minlength=len(self.shapes)).tolist()
        pairs = zip(self.shapes.tolist(), counts, strict=True)
        of_each = ", ".join(f"{height}×{width}: {count}" for (height, width), count in pairs)
        return f"AspectRatioBuckets({len(self.groups)} images; {of_each})"


def aspect_ratio_buckets(
    heights: npt.ArrayLike,
    widths: npt.ArrayLike,
    size: int = 512,
    *,
    multiple_of: int = 64,
    min_size: int = 256,
    max_size: int = 1024,
) -> AspectRatioBuckets:
    """Return buckets of similar aspect ratio, each with one image size.

    NovelAI, kohya's scripts and SDXL make buckets in the same way. Each image goes into the bucket
    with the nearest aspect ratio. With `fit="crop"` an accessor crops the excess:

        heights, widths = rb.ImageSizes(paths)[np.arange(len(paths))].T
        buckets = rb.aspect_ratio_buckets(heights, widths, 1024, min_size=512, max_size=2048)
        images = rb.ImageFileAccessor(paths, size=buckets.sizes, fit="crop")
        sampler = rb.GroupedSampler(buckets.groups)
        source = rb.ArrayDataSource([images, labels], sampler=sampler)

    Args:
        heights: The height of each image in pixels, integers `(n,)`.
        widths: The width of each image in pixels, integers `(n,)`.
        size: A bucket has at most `size * size` pixels.
        multiple_of: The edges of all buckets are multiples of this.
        min_size: The shortest edge of a bucket.
        max_size: The longest edge of a bucket.

    Returns:
        The buckets that contain an image, from the tallest to the widest.

    Raises:
        ValueError: If the numbers of heights and widths differ, a value is below 1, or no bucket is
            possible.
    """
    edges = [
        as_index_array(given, name).astype(np.int64)
        for name, given in (("heights", heights), ("widths", widths))
    ]
    if len(edges[0]) != len(edges[1]):
        raise ValueError(f"there are {len(edges[0])} heights and {len(edges[1])} widths")
    if any((edge < 1).any() for edge in edges):
        raise ValueError("heights and widths must be 1 or more pixels")
    shapes = _shapes(
        positive_int("size", size),
        positive_int("multiple_of", multiple_of),
        positive_int("min_size", min_size),
        positive_int("max_size", max_size),
    )
    ratios = np.log(shapes[:, 1] / shapes[:, 0])
    between = (ratios[1:] + ratios[:-1]) / 2
    nearest = np.searchsorted(between, np.log(edges[1] / edges[0]))
    used, groups = np.unique(nearest, return_inverse=True)
    return AspectRatioBuckets(groups.astype(np.int64), shapes[used])


def _shapes(size: int, step: int, least: int, most: int) -> npt.NDArray[np.int64]:
    """Return (height, width) of each bucket, from the tallest to the widest."""
    square = size // step * step
    found: set[tuple[int, int]] = {(square, square)} if least <= square <= most else set()
    for width in range(math.ceil(least / step) * step, most + 1, step):
        height = min(most, size * size // width) // step * step
        if height >= least:
            found |= {(height, width), (width, height)}
    if not found:
        raise ValueError(
            f"no bucket has edges from min_size={least} to max_size={most} that are multiples of"
            f" {step}, and at most {size} × {size} pixels: give a smaller min_size or multiple_of"
        )
    # If two sizes have the same ratio, keep the larger one.
    by_ratio: dict[float, Any] = {w / h: (h, w) for h, w in sorted(found)}
    return np.array([by_ratio[ratio] for ratio in sorted(by_ratio)], np.int64)

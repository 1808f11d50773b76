"""Checks random images by their statistics, since no two draws are alike.

Each draw is reduced to the means of a few cells. Three statistics are compared with those of the
plain loop:

- the mean image of all draws, which shows whether colours, channels and normalisation are right;
- how much the draws of an image differ, which shows whether crops are as random and as large;
- the mean of the draws of each image, which shows whether each index has its own image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

# The number of cells across and down.
_CELLS = 4
_DRAWS = 1000
# Decoders and filters differ by less than this, in standard deviations of ImageNet's pixels.
_MEAN_TOLERANCE = 0.1
_IMAGE_TOLERANCE = 0.05
# Allowances for chance: a number of standard errors, and a multiple of the expected variance.
_ERRORS = 4
_EXCESS = 2.0
_SPREAD_TOLERANCE = 0.2

Cells = npt.NDArray[np.float64]


def epochs_to_draw(images: int) -> int:
    """Return how many epochs of `images` images to compare: two or more, since draws differ."""
    return max(2, math.ceil(_DRAWS / images))


def cells_of(image: npt.NDArray[Any]) -> Cells:
    """Return the means of 4 × 4 cells of a (3, H, W) image: (3, rows, columns).

    A tiny image has fewer cells.
    """
    cells = np.asarray(image, np.float64)
    for axis in (1, 2):
        edge = cells.shape[axis]
        starts = np.linspace(0, edge, min(_CELLS, edge), endpoint=False).astype(int)
        lengths = np.diff(starts, append=edge)
        sums = np.add.reduceat(cells, starts, axis=axis)
        cells = sums / (lengths[:, None] if axis == 1 else lengths)
    return cells


def difference(drawn: dict[int, list[Cells]], reference: dict[int, list[Cells]]) -> str | None:
    """Return how `drawn` differs from `reference` by more than chance, or None.

    Both have the same number of draws of each index, two or more.
    """
    # (images, draws, 3, rows, columns)
    ours, theirs = (
        np.array([each[index] for index in sorted(each)]) for each in (drawn, reference)
    )
    # The variance of the difference between two draws of one image.
    variance = 2 * theirs.var(axis=1, ddof=1)
    return (
        _mean_image_differs(ours, theirs, variance)
        or _spread_differs(ours, theirs)
        or _images_differ(ours, theirs, variance)
    )


def _mean_image_differs(ours: Cells, theirs: Cells, variance: Cells) -> str | None:
    images, draws = ours.shape[:2]
    off = np.abs(ours.mean(axis=(0, 1)) - theirs.mean(axis=(0, 1)))
    allowed = _MEAN_TOLERANCE + _ERRORS * np.sqrt(variance.mean(axis=0) / (images * draws))
    worst = (off - allowed).argmax()
    if off.flat[worst] <= allowed.flat[worst]:
        return None
    return (
        f"the mean image of {images * draws} draws differs from the plain loop's by"
        f" {off.flat[worst]:.2f}; at most {allowed.flat[worst]:.2f} is allowed"
    )


def _images_differ(ours: Cells, theirs: Cells, variance: Cells) -> str | None:
    off = np.mean((ours.mean(axis=1) - theirs.mean(axis=1)) ** 2)
    expected = variance.mean() / ours.shape[1]
    if off <= _EXCESS * expected + _IMAGE_TOLERANCE**2:
        return None
    return (
        "the images do not match their indices: their means differ from the plain loop's by"
        f" {math.sqrt(off):.2f}; chance explains only {math.sqrt(expected):.2f}"
    )


def _spread_differs(ours: Cells, theirs: Cells) -> str | None:
    own, wanted = _spread(ours), _spread(theirs)
    if abs(own - wanted) <= _SPREAD_TOLERANCE * wanted + _IMAGE_TOLERANCE:
        return None
    return (
        f"the draws of an image differ by {own:.2f}, in the plain loop by {wanted:.2f}: "
        "the crops are not equally random"
    )


def _spread(cells: Cells) -> float:
    """Return the standard deviation between draws of one image, with or without flips."""
    symmetric = (cells + cells[..., ::-1]) / 2
    return math.sqrt(symmetric.var(axis=1, ddof=1).mean())

"""What may stand between the brackets of an accessor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def sample_positions(index: Any, length: int) -> int | npt.NDArray[np.intp]:
    """Return `index`, an int or a 1-D integer array, with negative ones counted from the end.

    TypeError for another type, ValueError for another number of dimensions, IndexError for an index that a
    sequence of `length` does not have.
    """
    if isinstance(index, (int, np.integer)):
        return _positions(np.array([index]), length).item()
    if not isinstance(index, np.ndarray):
        raise TypeError(f"index should be an integer or a NumPy array, not a {type(index)}")
    if index.ndim != 1:
        raise ValueError(f"index array should only have 1 dimension, not {index.ndim}")
    if not np.issubdtype(index.dtype, np.integer):
        raise TypeError(f"index array should hold integers, not {index.dtype}")
    return _positions(index, length)


def _positions(index: npt.NDArray[Any], length: int) -> npt.NDArray[np.intp]:
    outside = (index < -length) | (index >= length)
    if outside.any():
        raise IndexError(f"index {index[outside.argmax()]} is out of range for {length} samples")
    positions = index.astype(np.intp)
    return np.where(positions < 0, positions + length, positions)

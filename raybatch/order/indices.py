"""Index arrays, and the checks on those that a user gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

IndexArray = npt.NDArray[np.integer[Any]]


def as_index_array(indices: Any) -> IndexArray:
    """Return `indices` as a 1-D integer array; TypeError for other dtypes, ValueError for other shapes."""
    array = np.asarray(indices)
    if array.ndim != 1:
        raise ValueError(f"indices must have 1 dimension, not {array.ndim}")
    if array.size == 0:
        return array.astype(np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"indices must be integers, not {array.dtype}")
    return array


def check_index_range(indices: IndexArray, length: int) -> None:
    """Raise IndexError, naming the first of `indices` that a data set of `length` does not have."""
    outside = (indices < -length) | (indices >= length)
    if outside.any():
        position = int(np.argmax(outside))
        raise IndexError(
            f"indices[{position}] is {indices[position]}, out of range for {length} samples"
        )

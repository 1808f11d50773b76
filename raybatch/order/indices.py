"""Index arrays and sample counts, and the checks of those that a user passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.checks import counted, in_order, integer, positive_int

IndexArray = npt.NDArray[np.integer[Any]]


def amount(count: Callable[[], int | float | None]) -> str:
    """Return the result of `count()` in words for a `repr`, such as "200 samples".

    "" if it is unknown.
    """
    try:
        samples = count()
    except Exception:
        return ""  # the constructor of a user's class may not have finished
    if samples is None:
        return ""
    return "samples without end" if samples == np.inf else counted(int(samples), "sample")


def as_index_array(indices: Any, name: str = "indices") -> IndexArray:
    """Return `indices` as a 1-D integer array.

    TypeError for other dtypes, ValueError for other shapes; both call them `name`.
    """
    array = np.asarray(in_order(name, indices))
    if array.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension, not {array.ndim}")
    if array.size == 0:
        return array.astype(np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be integers, not {array.dtype}")
    return array


def check_index_range(indices: IndexArray, length: int) -> None:
    """Raise IndexError, naming the first of `indices` that is out of range for `length` samples."""
    outside = (indices < -length) | (indices >= length)
    if outside.any():
        position = int(np.argmax(outside))
        raise IndexError(
            f"indices[{position}] is {indices[position]}, out of range for {length} samples"
        )


def check_covers(what: str, count: int, length: int) -> None:
    """Raise an error that begins with `what` unless a sampler of `count` samples fits `length`.

    IndexError if the sampler has more samples than the data set. ValueError if it has fewer,
    because the rest would never be drawn.
    """
    if count > length:
        raise IndexError(f"{what}, but the data set has {length}")
    if count < length:
        raise ValueError(
            f"{what}, but the data set has {length}: the last {length - count} would never be"
            " drawn. Make the sampler for all samples, or select some with indices= or a"
            " WeightedSubsetSampler"
        )


def check_repeats(repeats: Any) -> int:
    """Return `repeats` as an int; ValueError unless it is 1 or more, or -1 for no end."""
    count = integer("repeats", repeats)
    if count == 0 or count < -1:
        raise ValueError(f"repeats must be 1 or more, or -1 for no end, not {count}")
    return count


def check_batch_size(batch_size: Any) -> int:
    """Return `batch_size` as an int.

    TypeError if it is not an integer, ValueError if it is below 1.
    """
    return positive_int("batch_size", batch_size)


def num_batches(n: int, batch_size: int) -> int:
    """Return the number of batches of `batch_size` in `n` samples, including a short last one."""
    return -(-n // check_batch_size(batch_size))

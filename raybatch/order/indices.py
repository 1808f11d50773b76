"""Index arrays and counts of samples: the checks on those that a user gives."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.checks import positive_int

IndexArray = npt.NDArray[np.integer[Any]]


def amount(count: Callable[[], int | float | None]) -> str:
    """Return what `count()` says in words, for a `repr`: "200 samples"; "" if it does not say."""
    try:
        samples = count()
    except Exception:
        return ""  # a class of the user's own may not be made yet
    if samples is None:
        return ""
    return "samples without end" if samples == np.inf else f"{samples} samples"


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


def check_covers(what: str, count: int, length: int) -> None:
    """Raise an error that begins with `what` unless a sampler of `count` samples fits a data set of `length`.

    IndexError where it has more samples than the data set; ValueError where it has fewer, since those beyond would never be
    drawn.
    """
    if count > length:
        raise IndexError(f"{what}, the data set has {length}")
    if count < length:
        raise ValueError(
            f"{what}, the data set has {length}: the last {length - count} would never be drawn. Make the sampler for all "
            "of them, or name those that it is to draw: indices=, or a WeightedSubsetSampler"
        )


def check_repeats(repeats: Any) -> int:
    """Return `repeats` as an int: 1 or more passes, or -1 for passes without end; else ValueError."""
    count = operator.index(repeats)
    if count == 0 or count < -1:
        raise ValueError(f"repeats must be 1 or more, or -1 for no end, not {count}")
    return count


def check_batch_size(batch_size: Any) -> int:
    """Return `batch_size` as an int; TypeError if it is no integer, ValueError if it is below 1."""
    return positive_int("batch_size", batch_size)


def num_batches(n: int, batch_size: int) -> int:
    """Return how many batches of `batch_size` cover `n` samples, a short last one counted."""
    return -(-n // check_batch_size(batch_size))

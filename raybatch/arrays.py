"""Arrays of other libraries that need a hand: gathered in any order, and sent to another process."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


def gather(array: Any, indices: Any) -> Any:
    """Return `array[indices]`, rows in the order of `indices`, for h5py data sets too."""
    return hdf5_rows(array, indices) if _is_hdf5(array) else array[indices]


def sample_count(array: Any) -> int:
    """Return the number of samples in an array-like; TypeError if it has neither `len()` nor a shape."""
    # A zarr array has a shape, but no `len()`.
    shape = getattr(array, "shape", None)
    return int(shape[0]) if shape and not hasattr(array, "__len__") else len(array)


def is_array_like(x: Any) -> bool:
    """Return whether `x` can be indexed and has a number of samples."""
    return hasattr(x, "__getitem__") and (hasattr(x, "__len__") or bool(getattr(x, "shape", None)))


def portable(array: Any) -> Any:
    """Return `array`, or what stands for it in another process if it cannot be pickled."""
    return Hdf5Accessor(array) if _is_hdf5(array) else array


class Hdf5Accessor:
    """An h5py data set that is opened again by name in each process that it is sent to."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, indices: Any) -> Any:
        return hdf5_rows(self._dataset, indices)

    def __getstate__(self) -> tuple[str, str]:
        return os.path.abspath(self._dataset.file.filename), self._dataset.name

    def __setstate__(self, state: tuple[str, str]) -> None:
        import h5py  # only a process that is sent such a data set needs it

        filename, name = state
        self._dataset = h5py.File(filename, "r")[name]


def hdf5_rows(dataset: Any, indices: Any) -> Any:
    """Return rows of an h5py data set, which itself takes only increasing indices without repeats."""
    if not isinstance(indices, np.ndarray):
        return dataset[indices]
    positions = np.where(indices < 0, indices + len(dataset), indices)
    distinct, inverse = np.unique(positions, return_inverse=True)
    return dataset[distinct][inverse]


def _is_hdf5(array: Any) -> bool:
    return type(array).__module__.startswith("h5py.")

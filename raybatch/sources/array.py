"""A source over arrays and accessors."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors import ItemAccessor
from raybatch.accessors.redaction import redacted
from raybatch.arrays import gather, is_array_like, portable, sample_count, takes_only_ints
from raybatch.order import AbstractSampler
from raybatch.sources.batch import Batch
from raybatch.sources.random_access import RandomAccessDataSource


class ArrayDataSource(RandomAccessDataSource):
    """Batches gathered from a list of arrays or array-likes of one length.

    An array-like has `__len__`, and a `__getitem__` that takes an int or a 1-D integer array and returns one
    sample, or the batch of them as an array or list. NumPy arrays, memory maps, h5py and zarr data sets, columns of
    pandas, polars and Hugging Face data sets, and the accessors of `raybatch.accessors` all are; a map-style data set
    of PyTorch is read through an `ItemAccessor`. `indices`, `repeats`, `sampler`, `include_indices` and
    `exclude` are those of `RandomAccessDataSource`.

        images = ImageFileAccessor(paths, size=(64, 64))
        source = ArrayDataSource([images, labels])
        for x, y in source.batch_iterator(64, shuffle=np.random.RandomState(12345)):
            ...
    """

    def __init__(
        self,
        data: list[Any],
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: AbstractSampler | None = None,
        include_indices: bool = False,
        exclude: Any = None,
    ) -> None:
        if not isinstance(data, list):
            raise TypeError(f"data must be a list of array-like objects, not a {type(data)}")
        if not data:
            raise ValueError("data must hold at least one array-like object; the list is empty")
        for position, array in enumerate(data):
            if isinstance(array, (list, tuple)) or not is_array_like(array):
                raise TypeError(
                    f"data[{position}] must be an array or array-like that takes index arrays, not a "
                    f"{type(array)}; a list of numbers becomes one with np.array(...), and of a Hugging Face "
                    "data set give the columns, data_set[name]"
                )
        data = [ItemAccessor(array) if takes_only_ints(array) else array for array in data]
        length = sample_count(data[0])
        for position, array in enumerate(data[1:], start=1):
            if sample_count(array) != length:
                raise ValueError(
                    f"Arrays have inconsistent length; array 0 has length {length}, while array "
                    f"{position} has length {sample_count(array)}"
                )
        self.data = data
        super().__init__(length, indices, repeats, sampler, include_indices, exclude)

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        batch = tuple(gather(array, indices) for array in self.data)
        if not self.include_indices:
            return batch
        if isinstance(indices, slice):
            indices = np.arange(*indices.indices(sample_count(self.data[0])))
        return (indices, *batch)

    def path_of(self, index: int) -> str:
        for array in self.data:
            # An accessor of the user's own may hold anything under these names.
            with contextlib.suppress(AttributeError, LookupError, TypeError):
                return os.fsdecode(array.name_of(index))
            with contextlib.suppress(AttributeError, LookupError, TypeError):
                path = array.paths[index]
                return redacted(os.fsdecode(path.as_py() if hasattr(path, "as_py") else path))
        return ""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"data": [portable(array) for array in self.data]}

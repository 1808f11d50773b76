"""Arrays of other libraries: indexed in any order, and sent to other processes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt


def common_dtype(arrays: Iterable[npt.NDArray[Any]]) -> np.dtype[Any]:
    """Return the dtype that holds the values of all `arrays`, one or more.

    Integers stay integers, though NumPy makes floats of int64 and uint64 together. TypeError if no
    integer type holds them all.
    """
    arrays = list(arrays)
    dtype = np.result_type(*{array.dtype for array in arrays})
    if dtype.kind != "f" or any(array.dtype.kind not in "iub" for array in arrays):
        return dtype
    if any(array.size and array.dtype.kind == "i" and array.min() < 0 for array in arrays):
        raise TypeError("no integer type holds both numbers below 0 and numbers above 2**63 - 1")
    return np.dtype(np.uint64)


def gather(array: Any, indices: Any) -> Any:
    """Return `array[indices]`, rows in the order of `indices`, for h5py data sets too.

    The strings and objects of a pandas column become an array of objects `(n,)`. So does the list
    that a Hugging Face column returns, in which lists of numbers become arrays. A categorical
    column gives its values. Raises TypeError for a frame whose columns have no common dtype.
    """
    if _is_hdf5(array):
        return _hdf5_rows(array, indices)
    # In plain brackets, pandas expects labels of its index.
    rows = getattr(array, "iloc", array)[indices]
    if _is_of(array, "datasets.") and isinstance(rows, list):
        return _objects([_as_numbers(row) for row in rows])
    if not hasattr(rows, "to_numpy"):
        return rows
    values = rows.to_numpy()
    if values.ndim == 2 and values.dtype == object:
        names = list(array.columns)
        raise TypeError(
            f"the columns {names} of a {type(array).__name__} have no common dtype: give each"
            f" column as a field of its own, such as {{{names[0]!r}: frame[{names[0]!r}], ...}}"
        )
    return values


def _as_numbers(row: Any) -> Any:
    """Return a list of numbers, nested or not, as an array; return anything else as it is."""
    if not isinstance(row, list):
        return row
    try:
        array = np.asarray(row)
    except ValueError:
        return row
    return array if array.dtype.kind in "biuf" else row


def _objects(samples: list[Any]) -> Any:
    """Return `samples` as an array of objects `(n,)`."""
    made = np.empty(len(samples), object)
    # By itself, NumPy would turn lists of one length into an array (n, length).
    for row, sample in enumerate(samples):
        made[row] = sample
    return made


def sample_count(array: Any) -> int:
    """Return the number of samples in an array-like.

    TypeError if it has neither `len()` nor a shape.
    """
    # A zarr array has a shape, but no `len()`.
    shape = getattr(array, "shape", None)
    return int(shape[0]) if shape and not hasattr(array, "__len__") else len(array)


def is_array_like(x: Any) -> bool:
    """Return whether `x` can be indexed and has a length.

    A whole Hugging Face `Dataset` does not count.
    """
    if _is_table(x):
        return False
    return hasattr(x, "__getitem__") and (hasattr(x, "__len__") or bool(getattr(x, "shape", None)))


def as_numpy(value: Any) -> Any:
    """Return a tensor or an array of another library as a NumPy array.

    Return anything else as it is. A tensor of a dtype that NumPy lacks, such as bfloat16, stays a
    tensor, on the CPU.
    """
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack__"):
        return value
    if not hasattr(value, "detach"):
        return np.asarray(value)
    try:
        return value.numpy(force=True)
    except TypeError:
        return value.detach().cpu()


def takes_only_ints(array: Any) -> bool:
    """Return whether `array` takes one int at a time.

    A map-style PyTorch data set does, and a whole Hugging Face `Dataset`.
    """
    return _is_table(array) or any(
        _module_is_of(kind, "torch.utils.data.") for kind in type(array).__mro__
    )


def portable(array: Any) -> Any:
    """Return `array` in a form that pickles: an h5py data set or a memory map is reopened.

    An h5py data set cannot be pickled, and a memory map would be pickled with its whole content.
    """
    if _is_hdf5(array):
        return _Reopened(_open_hdf5, (os.path.abspath(array.file.filename), array.name))
    if _is_whole_map(array):
        order = "C" if array.flags.c_contiguous else "F"
        where = (os.path.abspath(array.filename), array.dtype, "r", array.offset)
        return _Reopened(np.memmap, (*where, array.shape, order))
    return array


class _Reopened:
    """Pickles as the call that opens an array, and is that array after unpickling."""

    def __init__(self, reopen: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._reopen = reopen
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reopen, self._arguments


def _open_hdf5(filename: str, name: str) -> Any:
    import h5py  # only a process that receives such a data set needs it

    return h5py.File(filename, "r")[name]


def _hdf5_rows(dataset: Any, indices: Any) -> Any:
    """Return rows of an h5py data set, which only takes increasing indices without repeats."""
    if not isinstance(indices, np.ndarray):
        return dataset[indices]
    positions = np.where(indices < 0, indices + len(dataset), indices)
    distinct, inverse = np.unique(positions, return_inverse=True)
    return dataset[distinct][inverse]


def _is_hdf5(array: Any) -> bool:
    return _is_of(array, "h5py.")


def _is_table(array: Any) -> bool:
    return _is_of(array, "datasets.") and hasattr(array, "num_columns")


def _is_of(array: Any, library: str) -> bool:
    return _module_is_of(type(array), library)


def _module_is_of(kind: type, library: str) -> bool:
    return kind.__module__.startswith(library)


def _is_whole_map(array: Any) -> bool:
    if not isinstance(array, np.memmap) or array.filename is None:
        return False
    # The base of a view is not the map itself. A map in mode "c" may hold changes that its file
    # lacks.
    is_contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    return isinstance(array.base, mmap.mmap) and array.mode != "c" and is_contiguous

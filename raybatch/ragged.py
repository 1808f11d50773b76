"""Arrays whose rows have unequal lengths, such as boxes, points and tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raybatch.arrays import as_numpy, common_dtype, portable
from raybatch.checks import in_order

_KINDS = "biufcmM"  # booleans, numbers, times


class RaggedArray:
    """An array of `n` rows of unequal lengths, such as the boxes `(k, 4)` of images.

    Row i has shape `(length_i, *inner_shape)`. `rows` are arrays or lists of numbers, or an Arrow
    array of lists, such as a column of Parquet. All rows must have the same inner shape and the
    same kind of numbers; an empty list fits any row. By default, `dtype` and `inner_shape` are
    those of the rows. If all rows are empty, pass `inner_shape`, since the rows do not show it.
    Raises ValueError or TypeError if a row does not fit or is null; the message names the row,
    unless a whole Arrow array does not fit.

        boxes = RaggedArray([np.zeros((3, 4), np.float32), np.zeros((0, 4), np.float32)])
        boxes[0]            # a view of the first row, (3, 4)
        boxes[[1, 0]]       # a RaggedArray; boxes[1:] is one too
        boxes.values, boxes.offsets

    All rows lie in one array, `values`, of shape `(total, *inner_shape)`. Row i is
    `values[offsets[i] : offsets[i + 1]]`, with `offsets` int64 `(n + 1,)`. So a RaggedArray goes to
    other processes without a copy of its values.
    """

    def __init__(
        self,
        rows: Any,
        dtype: npt.DTypeLike | None = None,
        inner_shape: tuple[int, ...] | None = None,
    ) -> None:
        if hasattr(rows, "to_arrow"):  # a polars column
            rows = rows.to_arrow()
        if isinstance(rows, (pa.Array, pa.ChunkedArray)):
            values, lengths = _arrow_parts(rows)
            if inner_shape is not None and not len(values):
                values = np.empty((0, *inner_shape), values.dtype)
            if inner_shape not in (None, values.shape[1:]):
                raise ValueError(f"rows have the inner shape {values.shape[1:]}, not {inner_shape}")
            if dtype is not None:
                values = _unchanged(values, dtype, lambda: "the column")
        else:
            fitting = fitting_rows(rows, dtype, inner_shape)
            none = np.empty((0, *fitting.inner_shape), fitting.dtype)
            values = np.concatenate([none, *fitting.rows], dtype=fitting.dtype, casting="unsafe")
            lengths = np.array([len(row) for row in fitting.rows], np.int64)
        self.values: npt.NDArray[Any] = np.ascontiguousarray(values)
        self.offsets = _offsets(lengths)

    @classmethod
    def from_offsets(cls, values: npt.ArrayLike, offsets: npt.ArrayLike) -> RaggedArray:
        """Return the array whose row i is `values[offsets[i] : offsets[i + 1]]`.

        It shares the memory of C-contiguous `values`. Raises ValueError unless `offsets` are
        integers `(n + 1,)` that never decrease and lie in `values`.
        """
        values, offsets = np.asanyarray(values), np.asarray(offsets)
        if offsets.ndim != 1 or not len(offsets) or offsets.dtype.kind not in "iu":
            raise ValueError(
                f"offsets must be integers of shape (n + 1,), not {offsets.dtype} {offsets.shape}"
            )
        if values.ndim == 0 or values.dtype.kind not in _KINDS:
            raise ValueError(
                f"values must be an array of numbers, not {values.dtype} {values.shape}"
            )
        offsets = offsets.astype(np.int64, copy=False)
        if (np.diff(offsets) < 0).any() or offsets[0] < 0 or offsets[-1] > len(values):
            raise ValueError(
                f"offsets must never decrease, and lie between 0 and {len(values)}, the number of"
                f" values: they go from {offsets[0]} to {offsets[-1]}"
            )
        made = cls.__new__(cls)
        is_all = offsets[0] == 0 and offsets[-1] == len(values)
        values = values if is_all else values[offsets[0] : offsets[-1]]
        # Do not copy a whole memory map: it is pickled without its content, but a copy is not.
        made.values = values if values.flags.c_contiguous else np.ascontiguousarray(values)
        made.offsets = offsets - offsets[0] if offsets[0] else offsets
        return made

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """The lengths of the rows, int64 `(n,)`."""
        return np.diff(self.offsets)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def inner_shape(self) -> tuple[int, ...]:
        """The shape of a row without its first axis: (4,) for boxes `(k, 4)`."""
        return self.values.shape[1:]

    @property
    def nbytes(self) -> int:
        """The number of bytes of the values and the offsets."""
        return self.values.nbytes + self.offsets.nbytes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Any) -> Any:
        """Return the row at an int, as a view.

        A slice, integers or a mask `(n,)` gives a RaggedArray of those rows.
        """
        starts, stops = self.offsets[:-1][index], self.offsets[1:][index]
        if np.ndim(starts) == 0:
            return self.values[starts:stops]
        if isinstance(index, slice) and index.step in (None, 1) and len(starts):
            return RaggedArray.from_offsets(self.values, np.append(starts, stops[-1:]))
        lengths = stops - starts
        offsets = _offsets(lengths)
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return RaggedArray.from_offsets(self.values[positions], offsets)

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        shape = _shape_text(self.inner_shape)
        return (
            f"RaggedArray({len(self)} rows of shape {shape}, {len(self.values)} values,"
            f" {self.dtype})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return RaggedArray.from_offsets, (portable(self.values), self.offsets)


class FittingRows(NamedTuple):
    """Arrays `(*lengths, *inner_shape)`: their dtypes fit `dtype`, and their lengths can differ."""

    rows: list[npt.NDArray[Any]]
    dtype: np.dtype[Any]
    inner_shape: tuple[int, ...]


def fitting_rows(
    rows: Iterable[Any],
    dtype: npt.DTypeLike | None = None,
    inner_shape: tuple[int, ...] | None = None,
    axes: int = 1,
    name_of: Callable[[int], str] = "row {}".format,
) -> FittingRows:
    """Return `rows`, arrays or lists, as arrays that differ only in their first `axes` lengths.

    A row of shape `(0,)` fits any other. If a row does not fit, the ValueError or TypeError names
    it by `name_of(row)`.
    """
    arrays = [
        _row_array(row, number, dtype, name_of) for number, row in enumerate(in_order("rows", rows))
    ]
    telling = {number: array for number, array in enumerate(arrays) if array.shape != (0,)}
    reference = "as inner_shape says"
    if inner_shape is None and telling:
        first = next(iter(telling))
        inner_shape = arrays[first].shape[axes:]
        reference = f"like {name_of(first)}, of shape {arrays[first].shape}"
    inner_shape = inner_shape or ()
    for number, array in telling.items():
        if array.ndim == 0 < axes:
            raise ValueError(
                f"{name_of(number)} is {array}, a number, but must be an array or a list"
            )
        if array.ndim < axes or array.shape[axes:] != inner_shape:
            wanted = _shape_text(inner_shape, axes)
            raise ValueError(
                f"{name_of(number)} has shape {array.shape}, but must have {wanted}, {reference}"
            )
    filled = {number: array for number, array in telling.items() if array.size} or telling
    common = _common_dtype(filled, name_of) if dtype is None else np.dtype(dtype)
    empty = np.empty((0,) * axes + inner_shape, common)
    # The dtype of an empty array means nothing: libraries give it a default.
    fitting = [empty if array.shape == (0,) else array for array in arrays]
    fitting = [array if array.size else np.empty(array.shape, common) for array in fitting]
    return FittingRows(fitting, common, inner_shape)


def _row_array(
    row: Any, number: int, dtype: npt.DTypeLike | None, name_of: Callable[[int], str]
) -> npt.NDArray[Any]:
    try:
        array = np.asarray(as_numpy(row))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name_of(number)} is not an array of numbers: {error}") from None
    if array.dtype.kind not in _KINDS:
        raise TypeError(
            f"{name_of(number)}, a {type(row).__name__}, is not an array of numbers: its dtype is "
            f"{array.dtype}"
        )
    if dtype is None or array.shape == (0,):
        return array
    return _unchanged(array, dtype, lambda: name_of(number))


def _unchanged(
    array: npt.NDArray[Any], dtype: npt.DTypeLike, name: Callable[[], str]
) -> npt.NDArray[Any]:
    """Return `array` as `dtype`. Floats may be rounded; TypeError if other values would change."""
    # NumPy warns where a NaN becomes an integer, and where a float becomes infinite.
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(dtype, copy=False)
    if np.can_cast(array.dtype, dtype, "safe") or np.array_equal(cast, array):
        return cast
    is_rounded = cast.dtype.kind in "fc" and np.can_cast(array.dtype, dtype, "same_kind")
    if is_rounded and np.array_equal(np.isfinite(cast), np.isfinite(array)):
        return cast
    raise TypeError(f"{name()} holds {array.dtype}, which dtype={np.dtype(dtype)} would change")


def _common_dtype(
    arrays: dict[int, npt.NDArray[Any]], name_of: Callable[[int], str]
) -> np.dtype[Any]:
    kinds: dict[str, int] = {}
    for number, array in arrays.items():
        kinds.setdefault(array.dtype.kind, number)
    # Lists from JSON hold integers in one row and floats in the next, so these go together.
    if len(kinds) > 1 and not kinds.keys() <= {"i", "u", "f"}:
        one, other, *_ = kinds.values()
        raise TypeError(
            f"{name_of(other)} holds {arrays[other].dtype}, and {name_of(one)} {arrays[one].dtype}:"
            " give dtype=, or rows of one kind of numbers"
        )
    return common_dtype(arrays.values()) if kinds else np.dtype(float)


def _shape_text(inner_shape: tuple[int, ...], axes: int = 1) -> str:
    sizes = ["length"] * axes + [*map(str, inner_shape)]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def _offsets(lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _arrow_parts(column: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the values `(total, *inner_shape)` and lengths `(n,)` of an Arrow array of lists."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    chunks = chunks or [pa.array([], column.type)]
    parts = []
    row = 0
    for chunk in chunks:
        parts.append(_arrow_part(chunk, row))
        row += len(chunk)
    values, lengths = zip(*parts, strict=True)
    # An array of empty lists does not tell the length of inner lists.
    telling = [part for part in values if len(part)] or values[:1]
    joined = telling[0] if len(telling) == 1 else np.concatenate(telling)
    return joined, np.concatenate(lengths)


def _arrow_part(lists: Any, first_row: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    if not _is_list(lists.type):
        raise TypeError(
            f"a RaggedArray is made of lists of numbers, not of an Arrow array of {lists.type}"
        )
    _check_no_nulls(lists, lambda position: first_row + position)
    lengths = pc.list_value_length(lists).to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    values = _dense(
        lists.flatten(), lambda position: first_row + int(np.searchsorted(ends, position, "right"))
    )
    return values, lengths


def _dense(values: Any, row_of: Callable[[int], int]) -> npt.NDArray[Any]:
    """Return an Arrow array of numbers, or of lists of one length, as a NumPy array.

    `row_of(position)` is the row that a position belongs to, for messages.
    """
    _check_no_nulls(values, row_of)
    if not _is_list(values.type):
        made: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
        if made.dtype.kind not in _KINDS:
            raise TypeError(f"a RaggedArray holds numbers, not Arrow's {values.type}")
        return made
    lengths = pc.list_value_length(values).to_numpy()
    size = int(lengths[0]) if len(lengths) else getattr(values.type, "list_size", 0)
    if (lengths != size).any():
        odd = int((lengths != size).argmax())
        raise ValueError(
            f"row {row_of(odd)} holds a list of {lengths[odd]} values, and row {row_of(0)} one of"
            f" {size}: inner lists must have the same length"
        )
    inner = _dense(values.flatten(), lambda position: row_of(position // size))
    return inner.reshape(len(values), size, *inner.shape[1:])


def _check_no_nulls(array: Any, row_of: Callable[[int], int]) -> None:
    if array.null_count:
        position = pc.is_null(array).to_numpy(zero_copy_only=False).argmax()
        raise ValueError(
            f"row {row_of(int(position))} is null, or holds a null: fill or drop it first"
        )


def _is_list(kind: Any) -> bool:
    tests = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    return any(getattr(pa.types, f"is_{name}")(kind) for name in tests)

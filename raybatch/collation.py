"""Samples → a batch with their structure: arrays are stacked, padded, joined, or left in lists."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from raybatch.arrays import as_numpy, common_dtype
from raybatch.checks import positive_int
from raybatch.errors import ReturnError
from raybatch.memory import empty_batch
from raybatch.ragged import FittingRows, RaggedArray, fitting_rows
from raybatch.structure import described, is_container, map_arrays, members, with_members


class Padded(NamedTuple):
    """Arrays of unequal lengths, padded into one array, and the length of each."""

    values: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pad:
    """Collates arrays `(length, ...)` of unequal lengths into one array `(n, longest, ...)`.

    Args:
        value: The value that fills the rest of each row.
        multiple_of: `longest` is the greatest length of the batch, rounded up to a multiple of
            this.
        lengths: If true, the field becomes a `Padded` of the values and their lengths, int64
            `(n,)`; if false, it is the array alone.
        axes: The number of leading axes that can differ. With 2, as for images
            `(height, width, channels)`, both are padded, each to a multiple of `multiple_of`, and
            the lengths are `(n, 2)`.
        dtype: The dtype of the array; by default the dtype of the samples.
        inner_shape: The shape after the padded axes. Only empty lists need it: a batch of them
            becomes `(n, 0)`, and with `inner_shape=(4,)` it becomes `(n, 0, 4)`.
    """

    value: complex = 0
    multiple_of: int | None = None
    lengths: bool = True
    axes: int = 1
    dtype: npt.DTypeLike | None = None
    inner_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.value, (int, float, complex, np.generic)):
            raise TypeError(f"value must be a number, not {self.value!r}")
        if self.multiple_of is not None:
            positive_int("multiple_of", self.multiple_of)
        positive_int("axes", self.axes)


@dataclass(frozen=True)
class Ragged:
    """Collates arrays `(length, *inner_shape)` of unequal lengths into a `RaggedArray`.

    `dtype` and `inner_shape` are the arguments of `RaggedArray`. Pass them if a batch can have only
    empty lists, which show neither.
    """

    dtype: npt.DTypeLike | None = None
    inner_shape: tuple[int, ...] | None = None


# How a field is collated: one way for the whole field, or a dict from the name of each member to
# its way. The members of a tuple are named by number.
Setting: TypeAlias = "str | Pad | Ragged | Mapping[Any, Setting]"


def checked_setting(setting: Any) -> Setting:
    """Return `setting`; TypeError or ValueError if it is not a way to collate."""
    if isinstance(setting, Mapping):
        for inner in setting.values():
            checked_setting(inner)
    elif isinstance(setting, str):
        if setting not in ("stack", "list"):
            raise ValueError(
                f'collate must be "stack", "list", rb.Pad(...) or rb.Ragged(), not {setting!r}'
            )
    elif not isinstance(setting, (Pad, Ragged)):
        raise TypeError(
            'collate must be "stack", "list", rb.Pad(...), rb.Ragged() or a dict of these by'
            f" field, not {setting!r}"
        )
    return setting  # type: ignore[no-any-return]


def collated(
    samples: Iterable[Any],
    setting: Setting = "stack",
    name_of: Callable[[int], str] = "sample {} of the batch".format,
    path: tuple[Any, ...] = (),
) -> Any:
    """Return `samples` collated into a batch.

    Tuples, NamedTuples, dataclasses and mappings keep their type, at any depth, and each member is
    collated by itself. A list becomes a tuple, because in a batch a list has one entry for each
    sample. `setting` applies to all members; a dict applies to the members that it names, and
    stacks the others.

    - "stack": arrays and tensors of one shape become one array `(n, ...)`, numbers one array
      `(n,)`. Tensors of a dtype that NumPy lacks, such as bfloat16, become a tensor. Strings,
      bytes, None, Pillow images and other objects stay in a list.
    - "list": a list of the samples, whatever they are; tensors in them become NumPy arrays.
    - `Pad(...)`: one padded array. `Ragged()`: a `RaggedArray`. Both take a list of numbers as an
      array.

    Without samples, the result is an empty padded or ragged array, or else an empty list.

    Raises ReturnError if two samples do not go together, because their shapes or members differ, or
    because only one of them is an array. It names the field by `path`, which leads to it from a
    whole sample, and the samples by `name_of(row)`.
    """
    return _collated(list(samples), setting, _Field(path, name_of))


def in_numpy(sample: Any) -> Any:
    """Return `sample` with its tensors as NumPy arrays, in lists too."""
    return map_arrays(as_numpy, sample)


class _Field(NamedTuple):
    """The place of a field in the structure of the samples, for messages."""

    path: tuple[Any, ...]
    name_of: Callable[[int], str]

    def under(self, key: Any) -> _Field:
        return self._replace(path=(*self.path, key))

    def error(self, problem: str) -> ReturnError:
        name = " of ".join(map(repr, reversed(self.path)))
        return ReturnError(
            f"{f'field {name}' if name else 'the samples'} cannot be collated: {problem}"
        )

    def given(self, way: str) -> str:
        """Return the `collate=` argument that collates this field in this `way`."""
        for key in reversed(self.path):
            way = f"{{{key!r}: {way}}}"
        return f"collate={way}"

    def unequal(self, problem: str, *, is_numbers: bool = True) -> ReturnError:
        as_list = f"{self.given(repr('list'))} leaves them in a list"
        if not is_numbers:
            return self.error(
                f"{problem}. Give them one length, or say how they are batched: {as_list}"
            )
        return self.error(
            f"{problem}. Give them one shape, or say how they are batched: {as_list}, "
            f"{self.given('rb.Pad()')} pads them to the longest, and {self.given('rb.Ragged()')} "
            "makes a RaggedArray"
        )

    def fitting(self, samples: list[Any], **wanted: Any) -> FittingRows:
        try:
            return fitting_rows(samples, name_of=self.name_of, **wanted)
        except (TypeError, ValueError) as error:
            raise self.error(str(error)) from None


def _collated(samples: list[Any], setting: Setting, field: _Field) -> Any:
    if setting == "list":
        return [in_numpy(sample) for sample in samples]
    first = samples[0] if samples else None
    if isinstance(setting, Mapping):
        return _by_member(samples, setting, field) if samples else []
    if is_container(first) or (setting == "stack" and isinstance(first, list)):
        return _by_member(samples, dict.fromkeys(_parts(first), setting), field)
    if isinstance(setting, Pad):
        return _padded(samples, setting, field)
    if isinstance(setting, Ragged):
        fitting = field.fitting(samples, dtype=setting.dtype, inner_shape=setting.inner_shape)
        return RaggedArray(fitting.rows, fitting.dtype, fitting.inner_shape)
    return _stacked(samples, field)


def _parts(sample: Any) -> dict[Any, Any]:
    """Return the members of a container or a list; a leaf has none."""
    if is_container(sample):
        return members(sample)
    return dict(enumerate(sample)) if isinstance(sample, list) else {}


def _is_numbers(value: Any) -> bool:
    """Return whether `value`, a list at any depth, holds only numbers and arrays."""
    if isinstance(value, list):
        return all(map(_is_numbers, value))
    return _kind(value) in (np.ndarray, "tensor")


def _by_member(samples: list[Any], settings: Mapping[Any, Setting], field: _Field) -> Any:
    """Return a batch with the structure of the samples, each member collated by itself."""
    first = samples[0]
    parts = [_parts(sample) for sample in samples]
    for row, (sample, part) in enumerate(zip(samples, parts, strict=True)):
        if type(sample) is not type(first) or part.keys() != parts[0].keys():
            there = (
                f"{field.name_of(row)} is {_described(sample)}, and {field.name_of(0)}"
                f" {_described(first)}"
            )
            if not isinstance(first, list):
                raise field.error(there)
            raise field.unequal(there, is_numbers=_is_numbers([first, sample]))
    unknown = [key for key in settings if key not in parts[0]]
    if unknown:
        known = ", ".join(map(repr, parts[0])) or "none"
        raise field.error(
            f"collate= names {unknown[0]!r}, which is not a field of {_described(first)}; "
            f"its fields: {known}"
        )
    made = {
        key: _collated([part[key] for part in parts], settings.get(key, "stack"), field.under(key))
        for key in parts[0]
    }
    return tuple(made.values()) if isinstance(first, list) else with_members(first, made)


def _stacked(samples: list[Any], field: _Field) -> Any:
    """Return arrays, tensors or numbers as one array, and other samples as a list."""
    samples = [as_numpy(sample) for sample in samples]
    kinds = [_kind(sample) for sample in samples]
    for row, kind in enumerate(kinds):
        if kind is not kinds[0]:
            raise field.error(
                f"{field.name_of(row)} is {_described(samples[row])}, and {field.name_of(0)}"
                f" {_described(samples[0])}. A field holds arrays or other objects, not both;"
                f" {field.given(repr('list'))} takes both"
            )
    if not samples or kinds[0] is object:
        return samples
    shapes = [np.shape(sample) for sample in samples]
    for row, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise field.unequal(
                f"{field.name_of(0)} has shape {tuple(shapes[0])}, and {field.name_of(row)}"
                f" {tuple(shape)}"
            )
    if kinds[0] is not np.ndarray:
        return sys.modules["torch"].stack(samples)  # where there is a tensor, torch is loaded
    arrays = [np.asarray(sample) for sample in samples]
    try:
        dtype = common_dtype(arrays)
    except TypeError as error:
        raise field.error(str(error)) from None
    if dtype.hasobject:
        return np.stack(arrays)
    out = empty_batch((len(arrays), *shapes[0]), dtype)
    return np.stack(arrays, out=out, casting="unsafe")  # `common_dtype` holds all values


def _kind(sample: Any) -> Any:
    if isinstance(sample, (str, bytes)):  # NumPy's string scalars are instances of these too
        return object
    if isinstance(sample, (np.ndarray, np.generic, int, float, complex)):
        return np.ndarray
    if is_container(sample) or isinstance(sample, list):
        return type(sample)
    return "tensor" if hasattr(sample, "__dlpack__") else object


def _padded(samples: list[Any], pad: Pad, field: _Field) -> Any:
    rows, dtype, inner_shape = field.fitting(
        samples, axes=pad.axes, dtype=pad.dtype, inner_shape=pad.inner_shape
    )
    lengths = np.array([row.shape[: pad.axes] for row in rows], np.int64).reshape(-1, pad.axes)
    longest = lengths.max(axis=0, initial=0)
    if pad.multiple_of is not None:
        longest = -(-longest // pad.multiple_of) * pad.multiple_of
    values = np.full((len(rows), *longest, *inner_shape), _filler(pad, dtype, field), dtype)
    for padded, row in zip(values, rows, strict=True):
        padded[tuple(map(slice, row.shape[: pad.axes]))] = row
    if not pad.lengths:
        return values
    return Padded(values, lengths[:, 0] if pad.axes == 1 else lengths)


def _filler(pad: Pad, dtype: np.dtype[Any], field: _Field) -> Any:
    """Return the value to pad with, as `dtype`; ReturnError if `dtype` cannot hold it."""
    if dtype.kind in "fc":
        return pad.value
    try:
        filler = np.array(pad.value).astype(dtype)
        is_same = bool(filler == pad.value)
    except (TypeError, ValueError, OverflowError):
        is_same = False
    if not is_same:
        raise field.error(
            f"its arrays are {dtype}, which cannot hold the value {pad.value!r} of Pad"
        )
    return filler


def _described(sample: Any) -> str:
    return "None" if sample is None else described(sample)

"""Sources that read arrays and accessors by index arrays."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors.images import ImageArrays
from raybatch.accessors.reading import RngOf
from raybatch.arrays import gather, portable, sample_count
from raybatch.collation import Setting, collated
from raybatch.order.cursor import Cursor
from raybatch.order.rows import Rows
from raybatch.order.sampler import AbstractSampler, order_of
from raybatch.order.seeds import RandomKeys
from raybatch.order.shuffle import Shuffle, as_shuffle_rng
from raybatch.order.standard import StandardSampler, SubsetSampler
from raybatch.sources.batch import Batch, batch_row, extended
from raybatch.sources.fields import checked_fields, field_name
from raybatch.sources.ledger import BadSample, excluded
from raybatch.sources.mask_pairs import MaskPairs
from raybatch.sources.returned import returned_rows
from raybatch.sources.source import DataSource, sample_name, source_repr
from raybatch.stores.location import Location
from raybatch.structure import brief, is_container


class RandomAccessDataSource(DataSource):
    """The base of sources with `length` samples that are read by index arrays.

    Args:
        length: The number of samples in the arrays.
        indices: The absolute indices of the samples to draw, a 1-D integer array; None for all.
        repeats: The number of passes, or -1 for no end.
        sampler: A sampler, instead of `indices` and `repeats`.
        include_indices: Whether batches start with the absolute indices of their samples, int
            `(n,)`.
        exclude: The samples to leave out: a ledger of bad samples, its path, or absolute indices.
    """

    def __init__(
        self,
        length: int,
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: AbstractSampler | None = None,
        include_indices: bool = False,
        exclude: Any = None,
    ) -> None:
        if sampler is None:
            if indices is None:
                sampler = StandardSampler(length, repeats=repeats)
            else:
                sampler = SubsetSampler(indices, repeats=repeats)
        elif repeats != 1:
            raise ValueError(f"repeats should be 1 when sampler is provided, not {repeats}")
        elif indices is not None:
            raise ValueError("indices should be None when sampler is provided")
        elif not isinstance(sampler, AbstractSampler):
            given = f"the class {sampler.__name__}" if isinstance(sampler, type) else type(sampler)
            raise TypeError(f"sampler must be a sampler of raybatch, not {given}")
        sampler.check_length(length)
        self.sampler = sampler
        self._num_stored = length
        self.include_indices = include_indices
        if exclude is not None:
            self.sampler = self._sampler_without(excluded(exclude))

    @property
    def is_random_access(self) -> bool:
        return True

    # Unknown keyword arguments are an error here; the base class accepts them.
    def num_samples(self, shuffle: Shuffle = None) -> int | float | None:  # type: ignore[override]
        return self.sampler.num_indices_generated()

    def num_batches(self, batch_size: int, shuffle: Shuffle = None) -> int | float | None:  # type: ignore[override]
        return self.sampler.num_batches(batch_size)

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        return order_of(self.sampler, as_shuffle_rng(shuffle))

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        """Return the samples at absolute `indices`, a 1-D integer array or a slice, as a tuple."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        return self.samples_by_indices_nomapping(rows.indices)

    def sample_numbers(self, rows: Rows) -> list[tuple[int, ...]]:
        ((_, indices, position, _),) = rows.parts
        if isinstance(position, np.ndarray):  # rows that are not consecutive
            draws = np.concatenate([self.sampler.draw_numbers(int(p), 1) for p in position])
        else:
            draws = self.sampler.draw_numbers(position, len(indices))
        return list(zip(indices.tolist(), draws.tolist(), strict=True))

    def draw(self, one: Rows, rng: np.random.Generator) -> Rows:
        return Rows.of(np.array([self.sampler.draw_instead(int(one.indices[0]), rng)]))

    def without(self, samples: Collection[BadSample]) -> DataSource:
        changed = copy.copy(self)
        changed.sampler = self._sampler_without(samples)
        return changed

    def _sampler_without(self, samples: Collection[BadSample]) -> AbstractSampler:
        for sample in samples:
            if sample.member:
                raise ValueError(
                    f"exclude has a sample of member {sample.member}, but this"
                    f" {type(self).__name__} has no members: is the ledger from a different source?"
                )
            self._check_is_here(sample)
        indices = np.array([sample.index for sample in samples], np.int64)
        own = getattr(self.sampler, "indices", None)
        if isinstance(own, np.ndarray) and (own < 0).any():
            # The sampler can name a sample from the end too.
            indices = np.concatenate([indices, indices - self._num_stored])
        return self.sampler.without(indices)

    def _check_is_here(self, sample: BadSample) -> None:
        """Raise ValueError if the file at the index of `sample` has a different name."""
        # Compare only the names: the folder can have moved, and one path can be relative.
        here = self.path_of(sample.index)
        if sample.path and here and os.path.basename(sample.path) != os.path.basename(here):
            raise ValueError(
                f"sample {sample.index} in exclude was {sample.path!r}, but is {here!r} here: "
                "make a new list from these files, in this order"
            )


class ArrayDataSource(RandomAccessDataSource):
    """Makes batches from arrays or array-likes of equal length; each is one field of the samples.

    A list of array-likes gives tuples, and a dict of them gives dicts with the same keys. A single
    PyTorch map-style data set, `ItemAccessor` or Hugging Face data set gives the structure of its
    items; an item without fields becomes a tuple of one.

    An array-like has `__len__`, and a `__getitem__` that returns one sample for an int, and a
    batch, as an array or list, for a 1-D integer array. Examples are NumPy arrays, memory maps,
    h5py and zarr data sets, columns of pandas, polars and Hugging Face data sets, and all accessors
    of `raybatch.accessors`. A map-style data set is read through an `ItemAccessor`.

    A field without a `collate` setting keeps the form that its array-like returns, such as a list.
    Only an array of objects and the list of a Hugging Face column are stacked: arrays and numbers
    become an array, and strings and other objects become a list.

        images = ImageFileAccessor(paths, size=(64, 64))
        source = ArrayDataSource({"image": images, "label": labels})
        for batch in source.batch_iterator(64, shuffle=np.random.RandomState(12345)):
            batch["image"], batch["label"]

    Args:
        data: A list or dict of array-likes, or one data set.
        indices, repeats, sampler, include_indices, exclude: As for `RandomAccessDataSource`; in a
            dict the indices have the key "index".
        collate: How a field becomes a batch: "stack", "list", `rb.Pad(...)` or `rb.Ragged()`, for
            all fields, or in a dict by name or number, such as {"boxes": "list"}. It applies to
            rows of array-likes and to items of data sets; an `ItemAccessor` has its own `collate`.

    Raises:
        TypeError: If something in `data` is not an array-like.
        ValueError: If there is no data, lengths differ, `data` has a key "index" beside
            `include_indices`, or `collate` names a field that `data` does not have.
        ReturnError: In a batch with a field that cannot be collated as requested, such as arrays of
            unequal shapes to stack.
    """

    def __init__(
        self,
        data: Any,
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: AbstractSampler | None = None,
        include_indices: bool = False,
        exclude: Any = None,
        collate: Setting | None = None,
    ) -> None:
        self.data, self.collate = checked_fields(data, collate)
        if include_indices and isinstance(self.data, dict) and "index" in self.data:
            raise ValueError(
                'include_indices adds a field "index", but data already has one: rename it'
            )
        self._mask_pairs = MaskPairs(self.fields())
        first, *others = self.fields().items()
        length = sample_count(first[1])
        for key, array in others:
            if sample_count(array) != length:
                raise ValueError(
                    f"Arrays have inconsistent length; the first has length {length}, while"
                    f" {field_name(key)} has length {sample_count(array)}"
                )
        super().__init__(length, indices, repeats, sampler, include_indices, exclude)

    def unfinished(self) -> DataSource:
        # A user's subclass can read something else.
        if type(self).read is not ArrayDataSource.read:
            return self
        # Collation needs finished images.
        fields = {
            key: (
                array.unfinished()
                if isinstance(array, ImageArrays) and key not in self.collate
                else array
            )
            for key, array in self.fields().items()
        }
        changed = copy.copy(self)
        if isinstance(self.data, (dict, list)):
            changed.data = fields if isinstance(self.data, dict) else list(fields.values())
        return changed

    def __repr__(self) -> str:
        shown = []
        for key, array in self.fields().items():
            is_array = isinstance(array, np.ndarray)
            text = f"array {array.dtype}{list(array.shape)}" if is_array else brief(array)
            shown.append(f"{key}={text}" if isinstance(key, str) else text)
        return source_repr(self, *shown)

    def fields(self) -> dict[Any, Any]:
        """Return the array-likes by name or number; the name of a single data set is None."""
        if isinstance(self.data, dict):
            return self.data
        return dict(enumerate(self.data)) if isinstance(self.data, list) else {None: self.data}

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        numbers: list[tuple[int, ...]] = []

        def rng_of(row: int) -> np.random.Generator:
            if not numbers:
                numbers.extend(self.sample_numbers(rows))
            return keys.of_sample(*numbers[row])

        return self._batch(rows.indices, rng_of)

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        return self._batch(indices, None)

    def _batch(self, indices: Any, rng_of: RngOf | None) -> Batch:
        """Return the samples at `indices`.

        `rng_of`, if given, makes the random numbers for accessors that draw.
        """
        numbers = indices
        if isinstance(indices, slice):
            numbers = np.arange(*indices.indices(sample_count(next(iter(self.fields().values())))))
        arrays, fields, sizes = self.fields(), [], {}
        for key, array in arrays.items():
            with self._mask_pairs.noting(key) as sizes[key]:
                rows = self._rows(key, array, indices, len(numbers), rng_of)
            fields.append(self._collated(key, rows, numbers))
        self._mask_pairs.check(arrays, sizes, numbers, rng_of)
        batch: Batch = tuple(fields)
        if isinstance(self.data, dict):
            batch = dict(zip(self.data, fields, strict=True))
        elif not isinstance(self.data, list) and is_container(fields[0]):
            batch = fields[0]
        return extended(batch, "index", numbers, first=True) if self.include_indices else batch

    def _rows(self, key: Any, array: Any, indices: Any, count: int, rng_of: RngOf | None) -> Any:
        if rng_of is not None and getattr(array, "is_random", False):
            rows = array.read_seeded(indices, rng_of)
        else:
            rows = gather(array, indices)
        return returned_rows(field_name(key), array, rows, count)

    def _collated(self, key: Any, rows: Any, numbers: Any) -> Any:
        """Return `rows`, field `key` of the samples `numbers`, collated for a batch."""
        setting = self.collate.get(key)
        is_array = isinstance(rows, np.ndarray)
        samples = rows.tolist() if is_array and rows.dtype.hasobject else None
        if samples is None:
            if setting is None or (is_array and setting == "stack"):
                return rows
            samples = [batch_row(rows, row) for row in range(len(numbers))]
        named = Rows.of(numbers)
        return collated(
            samples, setting or "stack", lambda row: sample_name(self, named, row), (key,)
        )

    def path_of(self, index: int) -> str:
        for array in self.fields().values():
            # A user's own accessor can have other objects under these names.
            with contextlib.suppress(AttributeError, LookupError, TypeError):
                return os.fsdecode(array.name_of(index))
            with contextlib.suppress(AttributeError, LookupError, TypeError):
                path = array.paths[index]
                return str(Location(os.fsdecode(path.as_py() if hasattr(path, "as_py") else path)))
        return ""

    def __getstate__(self) -> dict[str, Any]:
        data: Any = self.data
        if isinstance(data, dict):
            data = {name: portable(array) for name, array in data.items()}
        elif isinstance(data, list):
            data = [portable(array) for array in data]
        return self.__dict__ | {"data": data}

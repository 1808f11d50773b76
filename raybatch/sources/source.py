"""The interface of a data source, and functions over a tree of sources."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from raybatch.arrays import takes_only_ints
from raybatch.checks import integer
from raybatch.order.cursor import Cursor
from raybatch.order.indices import amount, num_batches
from raybatch.order.rows import Rows
from raybatch.order.seeds import NO_KEYS, RandomKeys
from raybatch.order.shuffle import Shuffle
from raybatch.sources.batch import Batch, batch_row
from raybatch.sources.ledger import BadSample


class DataSource:
    """A source of batches, each of which can be made from its `Rows` alone.

    Sources form a tree: `children` are the sources that this one reads from, () for a leaf. A
    subclass implements `num_samples`, `cursor` and `read`; `draw`, to support the replacement of
    bad samples; and `without`, to support their exclusion.
    """

    children: tuple[DataSource, ...] = ()

    # Whether all arrays of a batch have one length; False for a composite with `trim=False`.
    has_equal_lengths = True

    def __repr__(self) -> str:
        return source_repr(self, *map(repr, self.children))

    @property
    def is_random_access(self) -> bool:
        """Whether any batch can be made from its indices."""
        return all(child.is_random_access for child in self.children)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """Return the number of samples in one iteration: an int, `np.inf`, or None if unknown."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def __len__(self) -> int:
        """Return the number of samples in one iteration; TypeError if it is infinite or unknown."""
        count = self.num_samples()
        if count is None or count == np.inf:
            what = "has no end" if count == np.inf else "does not know its number of samples"
            raise TypeError(f"this {type(self).__name__} {what}, so it has no len()")
        return int(count)

    def __getitem__(self, index: int) -> Any:
        """Return sample `index` of one iteration without shuffling, to look at it.

        Its random numbers are those of seed 0 and epoch 0. A sampler that cannot draw in order is
        shuffled with seed 0. IndexError if there are fewer samples, TypeError if the index is not
        an int or the source has no random access.
        """
        number = integer("index", index)
        if number < 0:
            number += len(self)
        rows = None if number < 0 else rows_at(self, number)
        if rows is None:
            raise IndexError(f"index {index} is out of range for this {type(self).__name__}")
        return batch_row(self.read(rows, NO_KEYS), 0)

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        """Return the number of batches in one iteration: an int, `np.inf`, or None if unknown.

        The keyword arguments are those of `order`.
        """
        samples = self.num_samples(**kwargs)
        if samples is None or samples == np.inf:
            num_batches(0, batch_size)  # raises the errors for an invalid batch size
            return samples
        return num_batches(int(samples), batch_size)

    def order(self, shuffle: Shuffle = None) -> Cursor:
        """Return a cursor at the start of one iteration, in order or drawn from `shuffle`."""
        return self.cursor(shuffle)

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        """Return the cursor for `order`; a subclass implements this method."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        """Return the batch of `rows`, with random numbers derived from `keys`."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def sample_numbers(self, rows: Rows) -> list[tuple[int, ...]]:
        """Return the numbers that identify the sample of each row: its index and draw number."""
        return [(int(index), 0) for index in rows.indices]

    def draw(self, one: Rows, rng: np.random.Generator) -> Rows:
        """Return a row, drawn with `rng` from the same leaves, to replace the row `one`."""
        raise NotImplementedError(
            f"a {type(self).__name__} cannot replace bad samples: it has no method `draw`"
        )

    def without(self, samples: Collection[BadSample]) -> DataSource:
        """Return this source without `samples`; ValueError for a sample that it does not have."""
        raise NotImplementedError(
            f"a {type(self).__name__} cannot leave samples out: it has no method `without`"
        )

    def path_of(self, index: int) -> str:
        """Return the path of the file that contains sample `index`, "" if it is unknown."""
        return ""

    def unfinished(self) -> DataSource:
        """Return a source of equal batches, with `UnfinishedImages` where these take fewer bytes.

        The driver finishes the images. The result is this source if nothing changes.
        """
        return self

    def _with_children(self, children: tuple[DataSource, ...]) -> DataSource:
        changed = copy.copy(self)
        changed.children = children
        return changed


def source_repr(source: DataSource, *parts: str) -> str:
    """Return the `repr` of `source`: its kind, its number of samples, and `parts`."""
    shown = filter(None, [amount(source.num_samples), *parts])
    return f"{type(source).__name__}({', '.join(shown)})"


def check_source(name: str, source: object) -> None:
    """Raise TypeError if `source` is not a data source; the message says how to make one of it."""
    if isinstance(source, DataSource):
        return
    kind = f"a {type(source).__name__}"
    cure = "rb.ArrayDataSource([images, labels])"
    if isinstance(source, type):
        kind, cure = f"the class {source.__name__}", f"{source.__name__}(...)"
    elif isinstance(source, (str, os.PathLike)):
        kind = repr(os.fspath(source))
        cure = f"rb.ImageFolder({kind}, size=224) for a folder of images"
    elif _are_paths(source):
        kind = f"{kind} of paths"
        cure = "rb.ArrayDataSource([rb.ImageFileAccessor(paths, size=(224, 224)), labels])"
    elif isinstance(source, Mapping):
        cure = "rb.ArrayDataSource({name: array, ...})"
    elif isinstance(source, (list, tuple)):
        cure = "rb.ArrayDataSource([array, ...]), or rb.ArrayDataSource(rb.ItemAccessor(samples))"
    elif takes_only_ints(source):
        cure = "rb.ArrayDataSource(data_set)"
    raise TypeError(f"{name} must be a data source, not {kind}: use {cure}")


def _are_paths(values: Any) -> bool:
    """Return whether `values` is a sequence or an array of paths."""
    if not isinstance(values, (list, tuple, np.ndarray)) and not hasattr(values, "to_pylist"):
        return False
    first: Any = next(iter(values), None)
    return isinstance(first.as_py() if hasattr(first, "as_py") else first, (str, os.PathLike))


def rows_at(source: DataSource, number: int, count: int = 1) -> Rows | None:
    """Return the rows of up to `count` samples of one iteration of `source`, from `number` on.

    None if there is no sample `number`. They are in order, or in the order of seed 0 if a sampler
    cannot draw in order. TypeError for a source without random access.
    """
    if not source.is_random_access:
        raise TypeError(
            f"this {type(source).__name__} has no random access, so sample {number} cannot be read"
        )
    try:
        cursor = source.order()
    except NotImplementedError:
        cursor = source.order(0)
    cursor.skip(1, number)
    run = cursor.step(count)
    return None if run is None else run.part(0, len(run))


def nodes(source: DataSource) -> Iterator[DataSource]:
    """Iterate over `source` and all sources below it."""
    yield source
    for child in source.children:
        yield from nodes(child)


def has_equal_lengths(source: DataSource) -> bool:
    """Return whether all arrays of a batch of `source` have one length."""
    return all(node.has_equal_lengths for node in nodes(source))


def sample_name(source: DataSource, rows: Rows, row: int) -> str:
    """Return the name of a row's sample in messages: its index in the first leaf, and its path."""
    member, indices, *_ = rows.parts[0]
    if not isinstance(indices, np.ndarray):
        return f"sample {row} of the batch"
    index = int(indices[row])
    return str(BadSample(index, "", "", "" if member else source.path_of(index), member))

"""What a loader needs of a data source, and the walk over a tree of them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from raybatch.order import Cursor, RandomKeys, Rows, Shuffle, num_batches
from raybatch.sources.batch import Batch
from raybatch.sources.ledger import BadSample


class DataSource:
    """Something of which any batch can be made by its rows.

    Sources are a tree: `children` are those that this one reads from, () for a leaf. A subclass implements
    `num_samples`, `cursor` and `read`, and for what it shall support of bad samples `draw` and `without`.
    """

    children: tuple[DataSource, ...] = ()

    # Whether all arrays of a batch have one length; not so in an untrimmed composite.
    has_equal_lengths = True

    @property
    def is_random_access(self) -> bool:
        """Whether any batch can be made from its indices."""
        return all(child.is_random_access for child in self.children)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """Return the number of samples in one iteration: an int, `np.inf`, or None if unknown."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        """Return the number of batches in one iteration: an int, `np.inf`, or None if unknown.

        The keyword arguments are those of `order`.
        """
        samples = self.num_samples(**kwargs)
        if samples is None or samples == np.inf:
            num_batches(0, batch_size)  # refuses what is no batch size
            return samples
        return num_batches(int(samples), batch_size)

    def order(self, shuffle: Shuffle = None) -> Cursor:
        """Return the start of the order of one iteration, in order or drawn from `shuffle`."""
        return self.cursor(shuffle)

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        """Return what `order` does; this is what a subclass implements."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        """Return the batch of `rows`, its random numbers derived from `keys`."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def sample_numbers(self, rows: Rows) -> list[tuple[int, ...]]:
        """Return for each row the numbers that name its sample: its index, and which time it is drawn."""
        return [(int(index), 0) for index in rows.indices]

    def draw(self, one: Rows, rng: np.random.Generator) -> Rows:
        """Return a row drawn from `rng` to take the place of `one`, a row of the same leaves."""
        raise NotImplementedError(
            f"a {type(self).__name__} cannot replace bad samples: it has no method `draw`"
        )

    def without(self, samples: Collection[BadSample]) -> DataSource:
        """Return this source without `samples`; ValueError for one that it does not have."""
        raise NotImplementedError(
            f"a {type(self).__name__} cannot leave samples out: it has no method `without`"
        )

    def path_of(self, index: int) -> str:
        """Return the path of the file that sample `index` is in, "" if it is not known."""
        return ""

    def unfinished(self) -> DataSource:
        """Return a source of the same batches with `UnfinishedImages` where that is fewer bytes; this one if there is none."""
        return self

    def _with_children(self, children: tuple[DataSource, ...]) -> DataSource:
        changed = copy.copy(self)
        changed.children = children
        return changed


def check_source(name: str, source: object) -> None:
    """Raise TypeError if `source` is no data source."""
    if not isinstance(source, DataSource):
        raise TypeError(f"{name} must be a data source, not {type(source)}")


def nodes(source: DataSource) -> Iterator[DataSource]:
    """Iterate over `source` and all sources below it."""
    yield source
    for child in source.children:
        yield from nodes(child)


def has_equal_lengths(source: DataSource) -> bool:
    """Return whether all arrays of a batch of `source` have one length."""
    return all(node.has_equal_lengths for node in nodes(source))


def sample_name(source: DataSource, rows: Rows, row: int) -> str:
    """Return what tells the sample in a row from others in a message: its index in the first leaf, and its path."""
    member, indices, *_ = rows.parts[0]
    if not isinstance(indices, np.ndarray):
        return f"sample {row} of the batch"
    index = int(indices[row])
    return str(BadSample(index, "", "", "" if member else source.path_of(index), member))

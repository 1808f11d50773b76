"""The interface of a data source, and the source that `map` makes of one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from itertools import count
from typing import Any

import numpy as np

from raybatch.arrays import stack_samples
from raybatch.order import (
    NO_KEYS,
    Cursor,
    IteratorCursor,
    RandomKeys,
    SeededShuffle,
    as_shuffle_rng,
    check_batch_size,
    num_batches,
    overrides,
    seed_of,
)
from raybatch.sources.bad_samples import BadSample
from raybatch.sources.batch import Batch, batch_length, batch_row
from raybatch.sources.batch_map import batch_map_concat, batch_map_mean

ProgressFunc = Callable[..., Iterator[Any]]


class AbstractDataSource:
    """Something that iterates over batches.

    If `is_random_access`, it can also make any batch from its indices: `batch_indices_iterator` gives the
    indices of each batch, and `samples_by_indices_nomapping` the batch. Indices have the structure of the
    source: an array, a tuple with one entry per member, or a `ChoiceBatch`.
    """

    @property
    def is_random_access(self) -> bool:
        """Whether any batch can be made from its indices."""
        return False

    @property
    def has_equal_lengths(self) -> bool:
        """Whether all arrays of a batch have one length; not so in a composite with `trim=False`."""
        return True

    @property
    def is_outermost(self) -> bool:
        """Whether no other source can be made of this one."""
        return False

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """Return the number of samples in one iteration: an int, `np.inf`, or None if unknown."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        """Return the number of batches in one iteration: an int, `np.inf`, or None if unknown.

        The keyword arguments are those of `batch_iterator`.
        """
        check_batch_size(batch_size)
        samples = self.num_samples(**kwargs)
        if samples is None or samples == np.inf:
            return samples
        return num_batches(int(samples), batch_size)

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        """Iterate over batches of `batch_size` samples; the last may be short."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def cursor(self, **kwargs: Any) -> Cursor:
        """Return the start of the order of one iteration; TypeError without random access.

        The keyword arguments are those of `batch_iterator`. A source of your own may redefine this or
        `batch_indices_iterator`; only with a cursor can an epoch change its batch size on the way.
        """
        raise self._no_random_access("cursor")

    def batch_indices_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Any]:
        """Iterate over the indices of each batch; TypeError without random access."""
        check_batch_size(batch_size)
        return self.cursor(**kwargs).batches(batch_size)

    @property
    def uses_rng(self) -> bool:
        """Whether making a batch takes random numbers, and so `read` rather than the indices alone."""
        return False

    def read(self, indices: Any, keys: RandomKeys) -> Batch:
        """Return the batch at absolute `indices`, its random numbers derived from `keys`."""
        return self.samples_by_indices_nomapping(indices)

    def sample_numbers(self, indices: Any, position: Any) -> list[tuple[int, ...]]:
        """Return for each sample the numbers that name it: its index, and which time it is drawn."""
        return [(int(index), 0) for index in indices]

    def parts(self, indices: Any) -> list[tuple[int, AbstractDataSource, Any]]:
        """Return the members that `indices` address: number, source, and its indices; [] without members."""
        return []

    def path_of(self, index: int) -> str:
        """Return the path of the file that sample `index` is in, "" if it is not known."""
        return ""

    def draw(self, one: Any, rng: np.random.Generator) -> Any:
        """Return the indices of one sample drawn from `rng`, in the structure of `one`, those of another."""
        raise NotImplementedError(
            f"a {type(self).__name__} cannot replace bad samples: it has no method `draw`"
        )

    def without(self, samples: Collection[BadSample]) -> AbstractDataSource:
        """Return this source without `samples`; ValueError for one that it does not have."""
        raise NotImplementedError(
            f"a {type(self).__name__} cannot leave samples out: it has no method `without`"
        )

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        """Return the batch at absolute `indices`; TypeError without random access."""
        raise self._no_random_access("samples_by_indices_nomapping")

    def samples_by_indices(self, indices: Any) -> Batch:
        """Return the batch at `indices` into the sampler's subset; TypeError without random access."""
        raise self._no_random_access("samples_by_indices")

    def map(self, fn: Callable[..., Batch], rng: bool = False) -> MapDataSource:
        """Return a source whose batches are `fn(*batch)`; `fn` returns a tuple.

        With `rng` it is `fn(*batch, rng=generator)`, a NumPy generator keyed by (seed, epoch, batch number);
        TypeError then for a source without random access.
        """
        return MapDataSource(self, fn, rng)

    def map_samples(self, fn: Callable[..., tuple[Any, ...]]) -> SampleMapDataSource:
        """Return a source whose samples are `fn(*sample, rng=generator)`, a tuple.

        The NumPy generator is keyed by (seed, epoch, sample index), so the result does not depend on the
        batch size, the worker or the rank. TypeError for a source without random access.
        """
        return SampleMapDataSource(self, fn)

    def batch_map_concat(
        self,
        func: Callable[..., Any],
        batch_size: int,
        progress_iter_func: ProgressFunc | None = None,
        n_batches: int | None = None,
        prepend_args: tuple[Any, ...] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | None:
        """Return the results of `func(*batch)` for every batch, concatenated along the first axis.

        See `raybatch.data_source.batch_map_concat`; `kwargs` go to `batch_iterator`. ValueError if the source
        is infinite and no `n_batches` is given.
        """
        total = self._batches_to_map(n_batches, batch_size, kwargs)
        batches = self.batch_iterator(batch_size, **kwargs)
        return batch_map_concat(func, batches, progress_iter_func, total, prepend_args)

    def batch_map_mean(
        self,
        func: Callable[..., Any],
        batch_size: int,
        progress_iter_func: ProgressFunc | None = None,
        sum_axis: int | tuple[int, ...] | None = None,
        n_batches: int | None = None,
        prepend_args: tuple[Any, ...] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | None:
        """Return the mean over samples of the sums that `func(*batch)` returns for every batch.

        See `raybatch.data_source.batch_map_mean`; `kwargs` go to `batch_iterator`. ValueError if the source is
        infinite and no `n_batches` is given.
        """
        total = self._batches_to_map(n_batches, batch_size, kwargs)
        batches = self.batch_iterator(batch_size, **kwargs)
        return batch_map_mean(func, batches, progress_iter_func, sum_axis, total, prepend_args)

    def _batches_to_map(
        self, n_batches: int | None, batch_size: int, kwargs: dict[str, Any]
    ) -> int | None:
        if n_batches is not None:
            return n_batches
        total = self.num_batches(batch_size, **kwargs)
        if total == np.inf:
            raise ValueError(
                "the data set, or what its sampler draws, is infinite: give n_batches to say "
                "how many batches to process"
            )
        return None if total is None else int(total)

    def _no_random_access(self, method: str) -> TypeError:
        return TypeError(
            f"{method} is not supported: this {type(self).__name__}, or a member of it, "
            "has no random access"
        )


class MapDataSource(AbstractDataSource):
    """Gives `fn(*batch)` for each batch of `source`; `fn` returns a tuple. Made by `source.map(fn)`."""

    def __init__(
        self, source: AbstractDataSource, fn: Callable[..., Batch], rng: bool = False
    ) -> None:
        check_inner("source", source)
        if not callable(fn):
            raise TypeError(f"fn must be callable, not {fn!r}")
        if rng and not source.is_random_access:
            raise source._no_random_access("random numbers by batch or sample")
        self.source = source
        self.fn = fn
        self.rng = rng

    @property
    def is_random_access(self) -> bool:
        return self.source.is_random_access

    @property
    def has_equal_lengths(self) -> bool:
        return self.source.has_equal_lengths

    @property
    def uses_rng(self) -> bool:
        return self.rng or self.source.uses_rng

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.source.num_samples(**kwargs)

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        return self.source.num_batches(batch_size, **kwargs)

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        if self.uses_rng:
            return keyed_batches(self, batch_size, **kwargs)
        batches = self.source.batch_iterator(batch_size, **kwargs)
        return (self.fn(*batch) for batch in batches)

    def cursor(self, **kwargs: Any) -> Cursor:
        return cursor_of(self.source, **kwargs)

    def read(self, indices: Any, keys: RandomKeys) -> Batch:
        batch = self.source.read(indices, keys.under())
        return self.fn(*batch, rng=keys.of_batch()) if self.rng else self.fn(*batch)

    def sample_numbers(self, indices: Any, position: Any) -> list[tuple[int, ...]]:
        return self.source.sample_numbers(indices, position)

    def parts(self, indices: Any) -> list[tuple[int, AbstractDataSource, Any]]:
        return self.source.parts(indices)

    def path_of(self, index: int) -> str:
        return self.source.path_of(index)

    def draw(self, one: Any, rng: np.random.Generator) -> Any:
        return self.source.draw(one, rng)

    def without(self, samples: Collection[BadSample]) -> AbstractDataSource:
        changed = copy.copy(self)
        changed.source = self.source.without(samples)
        return changed

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        if self.uses_rng:
            return self.read(indices, NO_KEYS)
        return self.fn(*self.source.samples_by_indices_nomapping(indices))

    def samples_by_indices(self, indices: Any) -> Batch:
        if self.rng:
            return self.fn(*self.source.samples_by_indices(indices), rng=NO_KEYS.of_batch())
        return self.fn(*self.source.samples_by_indices(indices))


class SampleMapDataSource(MapDataSource):
    """Gives `fn(*sample, rng=generator)` for each sample of `source`. Made by `source.map_samples(fn)`.

    What `fn` returns, a tuple, is stacked position by position: arrays of one shape and numbers to an array,
    anything else, such as Pillow images, to a list.
    """

    def __init__(self, source: AbstractDataSource, fn: Callable[..., tuple[Any, ...]]) -> None:
        super().__init__(source, fn, rng=True)
        if not source.has_equal_lengths:
            raise ValueError(
                "the arrays of a composite with trim=False may differ in length, so its batches have no "
                "samples to map: map its members, or let it trim"
            )

    def read(self, indices: Any, keys: RandomKeys) -> Batch:
        batch = self.source.read(indices, keys.under())
        return self._apply(batch, self.source.sample_numbers(indices, keys.position), keys)

    def samples_by_indices(self, indices: Any) -> Batch:
        batch = self.source.samples_by_indices(indices)
        return self._apply(batch, [(row, 0) for row in range(batch_length(batch))], NO_KEYS)

    def _apply(self, batch: Batch, numbers: list[tuple[int, ...]], keys: RandomKeys) -> Batch:
        stacked: Batch = stack_samples(
            [
                self.fn(*batch_row(batch, row), rng=keys.of_sample(*numbers[row]))
                for row in range(batch_length(batch))
            ]
        )
        return stacked


def check_inner(name: str, source: object) -> None:
    """Raise TypeError if `source` is no data source that others can be made of."""
    if not isinstance(source, AbstractDataSource):
        raise TypeError(f"{name} must be a data source, not {type(source)}")
    if source.is_outermost:
        raise TypeError(
            f"{name} must not be a {type(source).__name__}, which goes around all other sources"
        )


def cursor_of(source: AbstractDataSource, **kwargs: Any) -> Cursor:
    """Return the cursor of `source`, or one made of its iterator over indices if it redefines that."""
    if not overrides(source, "batch_indices_iterator", over="cursor"):
        return source.cursor(**kwargs)
    shuffle = as_shuffle_rng(kwargs.get("shuffle"))
    if isinstance(shuffle, SeededShuffle):
        kwargs = kwargs | {"shuffle": shuffle.generator()}
    return IteratorCursor(
        lambda batch_size: source.batch_indices_iterator(batch_size, **kwargs), batch_length
    )


class KeyedRead:
    """Makes batches of `source` from (indices, keys), on whatever worker."""

    def __init__(self, source: AbstractDataSource) -> None:
        self._source = source

    def __call__(self, indices_and_keys: tuple[Any, RandomKeys]) -> Batch:
        return self._source.read(*indices_and_keys)


def keyed_indices(
    source: AbstractDataSource, batch_size: int, **kwargs: Any
) -> Iterator[tuple[Any, RandomKeys]]:
    """Iterate over the indices and keys of each batch, as a loader does in its epoch 0."""
    check_batch_size(batch_size)
    seed = seed_of(kwargs.get("shuffle"))
    return _keyed_indices(cursor_of(source, **kwargs), batch_size, seed)


def _keyed_indices(cursor: Cursor, batch_size: int, seed: int) -> Iterator[tuple[Any, RandomKeys]]:
    for number in count():
        run = cursor.step(batch_size)
        if run is None:
            return
        yield run.part(0, len(run)), RandomKeys(seed, 0, number, run.position(0))


def keyed_batches(source: AbstractDataSource, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
    """Iterate over the batches of a source that uses random numbers."""
    return map(KeyedRead(source), keyed_indices(source, batch_size, **kwargs))

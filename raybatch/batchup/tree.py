"""raybatch's data sources with BatchUp's methods.

The classes of `raybatch.sources` come first among the bases, so their methods override those of
`AbstractDataSource`, which adds BatchUp's methods. It is the base class for sources of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from raybatch.batchup.batch_map import ProgressFunc, batch_map_concat, batch_map_mean
from raybatch.batchup.nested import to_indices, to_rows
from raybatch.collation import Setting
from raybatch.making.make import make
from raybatch.making.request import Request
from raybatch.order.cursor import Cursor, IteratorCursor, overrides, runs
from raybatch.order.indices import check_batch_size
from raybatch.order.members import CompositeCursor
from raybatch.order.rows import Rows
from raybatch.order.seeds import NO_KEYS, RandomKeys, seed_of
from raybatch.order.shuffle import (
    SeededShuffle,
    Shuffle,
    as_shuffle_rng,
    child_shuffles,
    draws_in_turn,
)
from raybatch.sources import array, image_folder, mapped, mix, several
from raybatch.sources.batch import Batch
from raybatch.sources.source import DataSource


class AbstractDataSource(DataSource):
    """Iterates over batches; with random access it can also make any batch from its indices.

    If `is_random_access` is true, `batch_indices_iterator` gives the indices of each batch, and
    `samples_by_indices_nomapping` the batch. Indices have the structure of the source: an array, a
    tuple with one entry per member, a `ChoiceBatch` or a `MixBatch`.

    A source of your own with random access implements `is_random_access`, `num_samples`,
    `samples_by_indices_nomapping`, and `cursor` or `batch_indices_iterator`. Only with a cursor can
    the batch size change within an epoch.
    """

    @property
    def is_random_access(self) -> bool:
        """Whether any batch can be made from its indices."""
        return bool(self.children) and super().is_random_access

    def order(self, shuffle: Shuffle = None) -> Cursor:
        if not overrides(self, "batch_indices_iterator", over="cursor"):
            return self.cursor(shuffle)
        rng = as_shuffle_rng(shuffle)
        drawn = rng.generator() if isinstance(rng, SeededShuffle) else shuffle
        return IteratorCursor(
            lambda batch_size: self.batch_indices_iterator(batch_size, shuffle=drawn),
            lambda indices, position: to_rows(self, indices, position),
        )

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        raise self._no_random_access("cursor")

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        return self.samples_by_indices_nomapping(rows.indices)

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        """Iterate over batches of `batch_size` samples; the last may be short.

        `shuffle` is None or False for no shuffle, True for NumPy's global generator, an int seed,
        or a RandomState, Generator or `np.random`, from which each pass draws a permutation when it
        begins.
        """
        check_batch_size(batch_size)
        if not self.is_random_access:
            raise NotImplementedError(f"abstract for type {type(self)}")
        requests = keyed_requests(self, batch_size, **kwargs)
        return (make(self, request, (BaseException,)).batch for request in requests)

    def batch_indices_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Any]:
        """Iterate over the indices of each batch; TypeError without random access."""
        check_batch_size(batch_size)
        self._require_random_access("batch_indices_iterator")
        cursor = self.cursor(**kwargs)
        return (to_indices(self, run.part(0, len(run))) for run in runs(cursor, batch_size))

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        """Return the batch at absolute `indices`; TypeError without random access."""
        self._require_random_access("samples_by_indices_nomapping")
        return self.read(to_rows(self, indices), NO_KEYS)

    def samples_by_indices(self, indices: Any) -> Batch:
        """Return the batch at `indices`, which count within the sampler's subset.

        TypeError without random access.
        """
        self._require_random_access("samples_by_indices")
        return self.read(to_rows(self, indices, absolute=_absolute), NO_KEYS)

    def map(
        self, fn: Callable[..., Batch], rng: bool = False, seed_globals: bool = True
    ) -> MapDataSource:
        """Return a source of the batches `fn(*batch)`, or `fn(batch)` if the batches are dicts.

        `fn` returns a batch of any structure; see `MapDataSource`. With `rng`, it also gets
        `rng=generator`, a NumPy generator keyed by (seed, epoch, batch number); a source without
        random access is then a TypeError. With `seed_globals`, draws of `fn` from `random`,
        `np.random` and torch have the same key.
        """
        return MapDataSource(self, fn, rng, seed_globals)

    def map_samples(
        self, fn: Callable[..., Any], collate: Setting = "stack", seed_globals: bool = True
    ) -> SampleMapDataSource:
        """Return a source whose samples are changed by `fn`.

        raybatch calls `fn(*sample, rng=generator)` for tuples and `fn(sample, rng=generator)` for
        dicts. `fn` returns a sample of any structure, and `collate` says how its fields are
        batched; see `SampleMapDataSource`. The NumPy generator is keyed by (seed, epoch, sample
        index), so the result does not depend on the batch size, the worker or the rank. With
        `seed_globals`, neither do draws from `random`, `np.random` and torch. TypeError for a
        source without random access.
        """
        return SampleMapDataSource(self, fn, collate, seed_globals)

    def batch_map_concat(
        self,
        func: Callable[..., Any],
        batch_size: int,
        progress_iter_func: ProgressFunc | None = None,
        n_batches: int | None = None,
        prepend_args: tuple[Any, ...] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | None:
        """Return the results of `func` for every batch, concatenated along the first axis.

        See `raybatch.data_source.batch_map_concat`; `kwargs` go to `batch_iterator`. ValueError for
        an infinite source without `n_batches`.
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

        See `raybatch.data_source.batch_map_mean`; `kwargs` go to `batch_iterator`. ValueError for
        an infinite source without `n_batches`.
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
                "the data set or its sampler is infinite: give n_batches, the number of batches to"
                " process"
            )
        return None if total is None else int(total)

    def _require_random_access(self, method: str) -> None:
        if not self.is_random_access:
            raise self._no_random_access(method)

    def _no_random_access(self, method: str) -> TypeError:
        return TypeError(
            f"{method} is not supported: this {type(self).__name__} or one of its members "
            "has no random access"
        )


def _absolute(leaf: DataSource, indices: Any) -> Any:
    return leaf.sampler.map_indices(indices) if hasattr(leaf, "sampler") else indices


def keyed_requests(source: DataSource, batch_size: int, **kwargs: Any) -> Iterator[Request]:
    """Iterate over the requests for the batches of `source`, with the random numbers of epoch 0."""
    size, seed = check_batch_size(batch_size), seed_of(kwargs.get("shuffle"))
    order = source.order(**kwargs)
    return (
        Request.plain(run.part(0, len(run)), RandomKeys(seed, 0, number))
        for number, run in zip(count(), runs(order, size), strict=False)
    )


class RandomAccessDataSource(array.RandomAccessDataSource, AbstractDataSource):
    __doc__ = array.RandomAccessDataSource.__doc__


class ArrayDataSource(array.ArrayDataSource, RandomAccessDataSource):
    __doc__ = array.ArrayDataSource.__doc__


class ImageFolder(image_folder.ImageFolder, ArrayDataSource):
    __doc__ = image_folder.ImageFolder.__doc__


class MapDataSource(mapped.MapDataSource, AbstractDataSource):
    __doc__ = mapped.MapDataSource.__doc__

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return super().batch_iterator(batch_size, **kwargs)
        return (self._mapped(batch) for batch in self.source.batch_iterator(batch_size, **kwargs))


class SampleMapDataSource(mapped.SampleMapDataSource, MapDataSource):
    __doc__ = mapped.SampleMapDataSource.__doc__


class CompositeDataSource(several.CompositeDataSource, AbstractDataSource):
    """Draws a batch from every member at each step, and ends when the first member ends.

    A common use is semi-supervised learning: a few labelled samples again and again (`repeats=-1`),
    and many unlabelled ones. With `flatten`, a batch is one flat tuple `(x, y, u)`, or one dict if
    the batches are dicts; without, it is `((x, y), (u,))`. A dict of sources gives a dict of their
    batches. With `trim`, the arrays of a step are cut to the shortest. The indices of a batch are a
    tuple with one entry for each member.

    ValueError at the first batch if dicts that become one dict share a key.
    """

    def __init__(
        self,
        datasets: Sequence[DataSource] | Mapping[str, DataSource],
        flatten: bool = True,
        trim: bool = True,
    ) -> None:
        super().__init__(datasets, flatten)
        self.trim = self.has_equal_lengths = trim

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        kind = CompositeCursor if self.trim else _UntrimmedCursor
        return kind(self._cursors(shuffle), draws_in_turn(shuffle))

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        if self.is_random_access:
            return super().batch_iterator(batch_size, **kwargs)
        return map(self._join, zip(*_iterators(self, batch_size, kwargs), strict=False))

    def _join(self, batches: tuple[Batch, ...]) -> Batch:
        return super()._join(batches) if self.trim else self._flat(batches)


class _UntrimmedCursor(CompositeCursor):
    def _length(self, lengths: list[int]) -> int:
        return max(lengths)


class ChoiceDataSource(several.ChoiceDataSource, AbstractDataSource):
    __doc__ = (
        f"{several.ChoiceDataSource.__doc__}\n    The indices of a batch are a `ChoiceBatch`.\n    "
    )

    def batch_iterator(
        self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any
    ) -> Iterator[Batch]:
        if self.is_random_access:
            return super().batch_iterator(batch_size, shuffle=shuffle, **kwargs)
        iterators = _iterators(self, batch_size, {"shuffle": shuffle, **kwargs})
        return _take_turns(batch_size, iterators, self.turns(as_shuffle_rng(shuffle), **kwargs))


class MixDataSource(mix.MixDataSource, AbstractDataSource):
    __doc__ = f"{mix.MixDataSource.__doc__}\n    The indices of a batch are a `MixBatch`.\n    "


def _iterators(
    source: DataSource, batch_size: int, kwargs: dict[str, Any]
) -> list[Iterator[Batch]]:
    """Return the iterators over the batches of the children, which share the shuffle."""
    check_batch_size(batch_size)
    arguments = [kwargs] * len(source.children)
    if "shuffle" in kwargs:
        shuffles = child_shuffles(kwargs["shuffle"], len(source.children))
        arguments = [{**kwargs, "shuffle": shuffle} for shuffle in shuffles]
    children: Iterable[Any] = source.children
    return [
        child.batch_iterator(batch_size, **own)
        for child, own in zip(children, arguments, strict=True)
    ]


def _take_turns(batch_size: int, iterators: list[Iterator[Batch]], turns: Any) -> Iterator[Batch]:
    nothing_passed = [0] * len(iterators)
    while (number := turns.next(batch_size, nothing_passed)) is not None:
        batch = next(iterators[number], None)
        if batch is not None:
            yield batch
        elif turns.end_together:
            return
        else:
            turns.ended(number)

"""The interface of a data source, and the source that `map` makes of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from raybatch.data_source.batch import Batch
from raybatch.data_source.batch_map import batch_map_concat, batch_map_mean
from raybatch.sampling import check_batch_size, num_batches

ProgressFunc = Callable[..., Iterator[Any]]


class AbstractDataSource:
    """Something that iterates over batches.

    If `is_random_access`, it can also make any batch from its indices: `batch_indices_iterator` gives the
    indices of each batch, and `samples_by_indices_nomapping` the batch. Indices have the structure of the
    source: an array, a tuple with one entry per member, or a `ChoiceBatch`.
    """

    @property
    def is_random_access(self) -> bool:
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

    def batch_indices_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Any]:
        """Iterate over the indices of each batch; TypeError without random access."""
        raise self._no_random_access("batch_indices_iterator")

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        """Return the batch at absolute `indices`; TypeError without random access."""
        raise self._no_random_access("samples_by_indices_nomapping")

    def samples_by_indices(self, indices: Any) -> Batch:
        """Return the batch at `indices` into the sampler's subset; TypeError without random access."""
        raise self._no_random_access("samples_by_indices")

    def map(self, fn: Callable[..., Batch]) -> MapDataSource:
        """Return a source whose batches are `fn(*batch)`; `fn` returns a tuple."""
        return MapDataSource(self, fn)

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

    def __init__(self, source: AbstractDataSource, fn: Callable[..., Batch]) -> None:
        if not isinstance(source, AbstractDataSource):
            raise TypeError(f"source must be a data source, not {type(source)}")
        if not callable(fn):
            raise TypeError(f"fn must be callable, not {fn!r}")
        self.source = source
        self.fn = fn

    @property
    def is_random_access(self) -> bool:
        return self.source.is_random_access

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.source.num_samples(**kwargs)

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        return self.source.num_batches(batch_size, **kwargs)

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        batches = self.source.batch_iterator(batch_size, **kwargs)
        return (self.fn(*batch) for batch in batches)

    def batch_indices_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Any]:
        return self.source.batch_indices_iterator(batch_size, **kwargs)

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        return self.fn(*self.source.samples_by_indices_nomapping(indices))

    def samples_by_indices(self, indices: Any) -> Batch:
        return self.fn(*self.source.samples_by_indices(indices))

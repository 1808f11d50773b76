"""Sources over functions and iterators, and the conversion of other objects to sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from raybatch.arrays import is_array_like
from raybatch.batchup.tree import AbstractDataSource, ArrayDataSource
from raybatch.order.indices import check_batch_size
from raybatch.order.shuffle import Shuffle
from raybatch.sources.batch import Batch
from raybatch.sources.returned import returned_batches


class CallableDataSource(AbstractDataSource):
    """Iterates over the batches that `batch_iterator_fn(batch_size, **kwargs)` yields.

    `num_samples_fn` is the number of samples (an int or `np.inf`), a function `fn(**kwargs)` that
    returns it, or None if it is unknown.
    """

    def __init__(
        self,
        batch_iterator_fn: Callable[..., Iterator[Batch]],
        num_samples_fn: Callable[..., int | float | None] | int | float | None = None,
    ) -> None:
        if not callable(batch_iterator_fn):
            raise TypeError(f"batch_iterator_fn must be callable, not {batch_iterator_fn!r}")
        if not callable(num_samples_fn):
            _check_num_samples("num_samples_fn", num_samples_fn, "a callable, ")
        self.batch_iterator_fn = batch_iterator_fn
        self.num_samples_fn = num_samples_fn

    def num_samples(self, **kwargs: Any) -> int | float | None:
        if callable(self.num_samples_fn):
            return self.num_samples_fn(**kwargs)
        return self.num_samples_fn

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        batches = self.batch_iterator_fn(check_batch_size(batch_size), **kwargs)
        return returned_batches(self.batch_iterator_fn, batches)


class IteratorDataSource(AbstractDataSource):
    """Iterates over `batch_iter` once; batch size and shuffle have no effect.

    `n_samples` is the number of samples (an int or `np.inf`), or None if it is unknown.
    """

    def __init__(self, batch_iter: Iterator[Batch], n_samples: int | float | None = None) -> None:
        if not isinstance(batch_iter, Iterator):
            raise TypeError(f"batch_iter must be an iterator, not {batch_iter!r}")
        _check_num_samples("n_samples", n_samples, "")
        self.batch_iter = batch_iter
        self.n_samples = n_samples

    # Unknown keyword arguments are an error here; the base class accepts any.
    def num_samples(self, shuffle: Shuffle = None) -> int | float | None:  # type: ignore[override]
        return self.n_samples

    def batch_iterator(  # type: ignore[override]
        self, batch_size: int, shuffle: Shuffle = None
    ) -> Iterator[Batch]:
        check_batch_size(batch_size)
        return returned_batches(self.batch_iter, self.batch_iter)


def _check_num_samples(name: str, value: Any, alternative: str) -> None:
    if value is not None and not isinstance(value, (int, np.integer)) and value != np.inf:
        raise TypeError(f"{name} should be None, {alternative}an int or np.inf, not {value!r}")
    if value is not None and value < 0:
        raise ValueError(f"{name} must be 0 or more, not {value}")


def coerce_data_source(x: Any) -> AbstractDataSource:
    """Return `x` as a data source.

    A source is returned as it is. A list or tuple of array-likes becomes an `ArrayDataSource`, an
    iterator an `IteratorDataSource`, and a callable a `CallableDataSource`. TypeError for anything
    else; ValueError for an empty sequence or arrays of unequal length.
    """
    if isinstance(x, AbstractDataSource):
        return x
    if isinstance(x, (list, tuple)):
        for item in x:
            if not is_array_like(item):
                raise TypeError(
                    "Cannot convert x to a data source; x is a sequence and one of the elements "
                    f"is not an array-like object, rather a {type(item)}"
                )
        if not x:
            raise ValueError("Cannot convert x to a data source; x is an empty sequence")
        return ArrayDataSource(list(x))
    if isinstance(x, Iterator):
        return IteratorDataSource(x)
    if callable(x):
        return CallableDataSource(x)
    raise TypeError(
        "Cannot convert x to a data source; can only handle iterators, callables and non-empty "
        f"sequences of array-like objects; cannot handle {type(x)}"
    )

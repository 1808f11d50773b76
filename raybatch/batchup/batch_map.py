"""Applies a function to every batch of an iterator, and combines the results."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from raybatch.sources.batch import Batch, batch_length
from raybatch.sources.returned import called

ProgressFunc = Callable[..., Iterable[Any]]


def batch_map_concat(
    func: Callable[..., Any],
    batch_iter: Iterable[Batch],
    progress_iter_func: ProgressFunc | None = None,
    n_batches: int | None = None,
    prepend_args: tuple[Any, ...] | None = None,
) -> tuple[Any, ...] | None:
    """Return the per-sample results of `func`, concatenated over the batches along the first axis.

    `func(*prepend_args, *batch)`, or `func(*prepend_args, batch)` for dicts, returns an array, a
    tuple of arrays, or None for a batch without a result. The result is a tuple of arrays, or None
    if no batch had one. `progress_iter_func(batches, total=..., leave=False)` wraps the iteration,
    as `tqdm.tqdm` does. At most `n_batches` are taken from `batch_iter`.
    """
    collected: list[tuple[Any, ...]] = []
    for batch in _at_most(batch_iter, progress_iter_func, n_batches):
        results = _results(called(partial(func, *(prepend_args or ())), batch), scalars=False)
        if results is not None:
            collected.append(results)
    if not collected:
        return None
    return tuple(np.concatenate(parts, axis=0) for parts in zip(*collected, strict=True))


def batch_map_mean(
    func: Callable[..., Any],
    batch_iter: Iterable[Batch],
    progress_iter_func: ProgressFunc | None = None,
    sum_axis: int | tuple[int, ...] | None = None,
    n_batches: int | None = None,
    prepend_args: tuple[Any, ...] | None = None,
) -> tuple[Any, ...] | None:
    """Return the sum of the results of `func` over all batches, divided by the number of samples.

    `func(*prepend_args, *batch)` returns a number or array that is summed over the samples of the
    batch, a tuple of these, or None. With `sum_axis`, `func` returns them unsummed, and this
    function sums them over that axis. The result is a tuple of float64 (or complex128) arrays, or
    None if no batch had a result. Sums are kept in 64 bits, whatever the dtype of the results.
    Samples of a batch without a result count too. The other arguments are those of
    `batch_map_concat`.
    """
    sums: list[Any] | None = None
    samples = 0
    for batch in _at_most(batch_iter, progress_iter_func, n_batches):
        length = batch_length(batch)
        results = _results(called(partial(func, *(prepend_args or ())), batch), scalars=True)
        samples += length
        if results is None:
            continue
        terms = [_wide_sum(result, sum_axis) for result in results]
        sums = terms if sums is None else [a + b for a, b in zip(sums, terms, strict=True)]
    return None if sums is None else tuple(np.asarray(total) / samples for total in sums)


def _at_most(
    batches: Iterable[Batch],
    progress_iter_func: ProgressFunc | None,
    n_batches: int | None,
) -> Iterator[Batch]:
    """Iterate over at most `n_batches` of `batches`, and never ask for one more."""
    if n_batches is not None and n_batches < 0:
        raise ValueError(f"n_batches must be 0 or more, not {n_batches}")
    if progress_iter_func is not None:
        batches = progress_iter_func(batches, total=n_batches, leave=False)
    if n_batches == 0:
        return
    for taken, batch in enumerate(batches, start=1):
        yield batch
        if taken == n_batches:
            return


def _results(results: Any, *, scalars: bool) -> tuple[Any, ...] | None:
    if results is None or isinstance(results, tuple):
        return results
    if isinstance(results, np.ndarray):
        return (results,)
    if scalars and isinstance(results, (np.generic, numbers.Number)):
        return (results,)
    single = "a NumPy array or a number" if scalars else "a NumPy array"
    raise TypeError(
        f"Batch function should return a tuple of results, a single result as {single}, or None, "
        f"not {type(results)}"
    )


def _wide_sum(result: Any, axis: int | tuple[int, ...] | None) -> Any:
    array = np.asarray(result)
    wide = np.result_type(array.dtype, np.float64)
    return array.astype(wide) if axis is None else array.sum(axis=axis, dtype=wide)

"""Whatever a user has, as a data source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raybatch.arrays import is_array_like
from raybatch.sources.array import ArrayDataSource
from raybatch.sources.foreign import CallableDataSource, IteratorDataSource
from raybatch.sources.source import AbstractDataSource


def coerce_data_source(x: Any) -> AbstractDataSource:
    """Return `x` as a data source.

    A source is returned as it is, a list or tuple of array-likes becomes an `ArrayDataSource`, an iterator an
    `IteratorDataSource`, a callable a `CallableDataSource`. TypeError for anything else, ValueError for an
    empty sequence or arrays of unequal length.
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

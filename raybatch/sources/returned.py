"""What the program's own functions and array-likes return, checked before it passes for a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from raybatch.errors import ReturnError
from raybatch.sources.batch import Batch

_ROWS = "arrays or lists with one row for each sample of the batch, such as (x, y)"


def returned_batch(fn: Any, batch: Any, *, is_even: bool = True) -> Batch:
    """Return `batch`, which `fn`, a function or an iterator, gave; ReturnError if it is no tuple.

    If it `is_even`, all that has a length in it must have the same; what has none, as a number, is for the whole batch.
    """
    # This is the one place to change where a batch may have another structure.
    if not isinstance(batch, tuple) or not batch:
        raise ReturnError(
            f"{_name(fn)} returned {_described(batch)}, and must return a tuple of {_ROWS}"
        )
    lengths = [tuple(row_counts(member)) for member in batch]
    if is_even and len({count for counts in lengths for count in counts}) > 1:
        raise ReturnError(
            f"{_name(fn)} returned members of unequal lengths, {_described(batch)}, and must return a tuple of {_ROWS}"
        )
    return batch


def returned_sample(fn: Callable[..., Any], sample: Any, first: Any) -> tuple[Any, ...]:
    """Return `sample`, which `fn` made of one; ReturnError if it is no tuple, or not of as many members as `first`."""
    if isinstance(sample, tuple) and sample and len(sample) == len(first):
        return sample
    wanted = "a tuple with the members of one sample, such as (x, y)"
    if isinstance(sample, tuple) and sample:
        wanted = f"tuples of equal lengths: for another sample it has returned {_described(first)}"
    raise ReturnError(f"{_name(fn)} returned {_described(sample)}, and must return {wanted}")


def returned_rows(name: str, array: Any, rows: Any, count: int) -> Any:
    """Return `rows`, which the array-like `array` gave for `count` indices; ReturnError if they are not as many."""
    counts = set(row_counts(rows))
    if counts != {count}:
        raise ReturnError(
            f"{name}, of {type(array).__module__}.{type(array).__qualname__}, returned {_described(rows)} for {count} "
            "indices, and must return an array or a list with one row for each of them"
        )
    return rows


def row_counts(batch: Any) -> Iterator[int]:
    """Iterate over the lengths of all in `batch` that has rows: not of text, nor of numbers, which have none."""
    if isinstance(batch, (tuple, dict)):
        for member in batch.values() if isinstance(batch, dict) else batch:
            yield from row_counts(member)
    elif hasattr(batch, "shape"):
        yield from batch.shape[:1]
    elif hasattr(batch, "__len__") and not isinstance(batch, (str, bytes)):
        yield len(batch)


def returned_batches(fn: Any, batches: Any) -> Iterator[Batch]:
    """Return `batches`, an iterator that `fn` gave, or is, each batch checked; ReturnError if it is none."""
    if not isinstance(batches, Iterable):
        raise ReturnError(
            f"{_name(fn)} returned {_described(batches)}, and must return an iterator over batches"
        )
    return (returned_batch(fn, batch, is_even=False) for batch in batches)


def _name(fn: Any) -> str:
    """Return what tells `fn` from others: its name, and where it is defined if that is known."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__qualname__", getattr(fn, "__name__", None))
    if name is None or not callable(fn):
        return f"an object of {type(fn).__module__}.{type(fn).__qualname__}"
    code = getattr(fn, "__code__", None)
    place = "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"
    return f"the function {name}{place}"


def _described(value: Any) -> str:
    if value is None:
        return "None (a missing `return`?)"
    if isinstance(value, tuple):
        return f"({', '.join(map(_described, value))}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(repr, value)) or 'nothing'}"
    kind = type(value).__name__
    if getattr(value, "shape", ()):
        return f"{kind} {getattr(value, 'dtype', '')}{list(value.shape)}"
    if hasattr(value, "__len__"):
        return f"{kind} of {len(value)}"
    return kind if len(repr(value)) > 40 else repr(value)

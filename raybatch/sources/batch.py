"""Batches: structures whose leaves, arrays or lists, have one row for each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from raybatch.structure import is_container, is_plain_tuple, leaves, map_leaves, members

# A tuple, a NamedTuple, a dict or a dataclass, see `raybatch.structure`. A leaf without rows, such as a number, belongs to the whole
# batch.
Batch: TypeAlias = Any


def has_rows(leaf: Any) -> bool:
    """Return whether `leaf` has a row for each sample: arrays and lists have, numbers and text have not."""
    if hasattr(leaf, "shape"):
        return len(leaf.shape) > 0
    return hasattr(leaf, "__len__") and not isinstance(leaf, (str, bytes))


def row_counts(batch: Batch) -> Iterator[int]:
    """Iterate over the numbers of rows of all leaves of `batch` that have rows."""
    for leaf in leaves(batch):
        if has_rows(leaf):
            yield int(leaf.shape[0]) if hasattr(leaf, "shape") else len(leaf)


def batch_length(batch: Batch) -> int:
    """Return the number of samples in `batch`: the rows of its first leaf that has rows; ValueError if none has."""
    for count in row_counts(batch):
        return count
    raise ValueError(f"no member of the batch has a row for each sample: {batch!r:.200}")


def trim_batch(batch: Batch, length: int) -> Batch:
    """Return `batch` with the first `length` rows of each leaf."""
    return map_leaves(lambda leaf: leaf[:length] if has_rows(leaf) else leaf, batch)


def trim_to_shortest(batches: tuple[Batch, ...]) -> tuple[Batch, ...]:
    """Return `batches`, one of each child of a composite, all cut to the length of the shortest."""
    lengths = [batch_length(batch) for batch in batches]
    shortest = min(lengths)
    if shortest == max(lengths):
        return batches
    return tuple(trim_batch(batch, shortest) for batch in batches)


def batch_nbytes(batch: Batch) -> int:
    """Return about how many bytes `batch` holds.

    Exact for arrays, tensors and whatever else has `nbytes`, and for bytes; one a character for text, four a pixel for Pillow
    images; the sum for containers and lists; 0 for what is none of these.
    """
    if isinstance(batch, np.ndarray):
        return batch.nbytes
    if is_container(batch):
        return sum(batch_nbytes(member) for member in members(batch).values())
    if isinstance(batch, list):
        return sum(map(batch_nbytes, batch))
    if isinstance(batch, (str, bytes, bytearray, memoryview)):
        return len(batch)
    if isinstance(batch, Image.Image):
        return 4 * batch.width * batch.height
    nbytes = getattr(batch, "nbytes", 0)
    return nbytes if isinstance(nbytes, int) else 0


def batch_row(batch: Batch, row: int) -> Any:
    """Return sample `row` of `batch`: the same structure, with that row of each leaf."""
    return map_leaves(lambda leaf: leaf[row] if has_rows(leaf) else leaf, batch)


def called(fn: Callable[..., Any], structure: Any, **options: Any) -> Any:
    """Return `fn(*structure, **options)` for the members of a tuple, else `fn(structure, **options)`."""
    if isinstance(structure, tuple):
        return fn(*structure, **options)
    return fn(structure, **options)


def extended(batch: Batch, name: str, array: Any, *, first: bool = False) -> Batch:
    """Return `batch` with `array`: under the key `name` in a dict, as a further member, the last or the `first`, of a plain tuple.

    Anything else that has fields of its own becomes a pair with it. ValueError for a dict that has `name`.
    """
    if isinstance(batch, Mapping):
        if name in batch:
            raise ValueError(
                f"the batch has {name!r} already, which is the name of what raybatch adds: give the field another name"
            )
        return {name: array, **batch} if first else {**batch, name: array}
    held = batch if is_plain_tuple(batch) else (batch,)
    return (array, *held) if first else (*held, array)


def flattened(batches: tuple[Batch, ...]) -> Batch:
    """Return `batches` as one: dicts become one dict with all keys; else a tuple of the members of tuples, and of the rest.

    ValueError if two dicts have the same key.
    """
    if not all(isinstance(batch, Mapping) for batch in batches):
        return tuple(
            chain.from_iterable(
                batch if isinstance(batch, tuple) else (batch,) for batch in batches
            )
        )
    joined: dict[Any, Any] = {}
    for batch in batches:
        if shared := joined.keys() & batch.keys():
            raise ValueError(
                f"several sources of a composite have a field {min(shared, key=str)!r}: give them other names, or use "
                "flatten=False, which gives a tuple of their dicts, or a dict of sources, which gives a dict of them"
            )
        joined |= batch
    return joined

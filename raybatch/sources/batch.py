"""Batches: structures whose leaves, arrays or lists, have one row for each sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from raybatch.structure import is_container, is_plain_tuple, leaves, map_leaves, members

# A tuple, NamedTuple, dict or dataclass, see `raybatch.structure`. A leaf without rows, such as a
# number, belongs to the whole batch.
Batch: TypeAlias = Any


def has_rows(leaf: Any) -> bool:
    """Return whether `leaf` has a row for each sample: an array or list, not a number or text."""
    if hasattr(leaf, "shape"):
        return len(leaf.shape) > 0
    return hasattr(leaf, "__len__") and not isinstance(leaf, (str, bytes))


def row_counts(batch: Batch) -> Iterator[int]:
    """Iterate over the number of rows of each leaf of `batch` that has rows."""
    for leaf in leaves(batch):
        if has_rows(leaf):
            yield int(leaf.shape[0]) if hasattr(leaf, "shape") else len(leaf)


def batch_length(batch: Batch) -> int:
    """Return the number of samples in `batch`: the rows of its first leaf that has rows.

    ValueError if no leaf has rows.
    """
    for count in row_counts(batch):
        return count
    raise ValueError(f"no member of the batch has a row for each sample: {batch!r:.200}")


def trim_batch(batch: Batch, length: int) -> Batch:
    """Return the first `length` rows of `batch`."""
    return map_leaves(lambda leaf: leaf[:length] if has_rows(leaf) else leaf, batch)


def trim_to_shortest(batches: tuple[Batch, ...]) -> tuple[Batch, ...]:
    """Return `batches`, one per child of a composite, all cut to the length of the shortest."""
    lengths = [batch_length(batch) for batch in batches]
    shortest = min(lengths)
    if shortest == max(lengths):
        return batches
    return tuple(trim_batch(batch, shortest) for batch in batches)


def batch_nbytes(batch: Batch) -> int:
    """Return the approximate size of `batch` in bytes.

    It is exact for bytes, arrays, tensors and anything else with `nbytes`. Text counts one byte per
    character, a Pillow image four per pixel, and containers the sum of their members. Anything else
    counts 0.
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
    """Return sample `row` of `batch`: the same structure with that row of each leaf."""
    return map_leaves(lambda leaf: leaf[row] if has_rows(leaf) else leaf, batch)


def extended(batch: Batch, name: str, array: Any, *, first: bool = False) -> Batch:
    """Return `batch` with `array` as an additional field.

    A dict gets it under the key `name`. A plain tuple gets it as the last member, or as the
    `first`. Any other batch becomes a pair with it. ValueError if a dict already has `name`.
    """
    if isinstance(batch, Mapping):
        if name in batch:
            raise ValueError(
                f"the batch already has a field {name!r}, which raybatch adds: rename the field"
            )
        return {name: array, **batch} if first else {**batch, name: array}
    held = batch if is_plain_tuple(batch) else (batch,)
    return (array, *held) if first else (*held, array)


def flattened(batches: tuple[Batch, ...]) -> Batch:
    """Return `batches` as one flat batch.

    Dicts become one dict with all keys. Otherwise the result is a tuple of the members of the
    tuples and of all other batches. ValueError if two dicts share a key.
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
                f"several sources of a composite have a field {min(shared, key=str)!r}: rename one,"
                " or use flatten=False for a tuple of their dicts, or a dict of sources for a dict"
                " of their dicts"
            )
        joined |= batch
    return joined

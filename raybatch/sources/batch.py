"""The structure of a batch: arrays or lists in tuples, nested to any depth."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

Batch: TypeAlias = tuple[Any, ...]


class ChoiceBatch(NamedTuple):
    """The indices of one batch of a `ChoiceDataSource`: `sample_indices` of member `ds_index`."""

    sample_indices: Any
    ds_index: int


def batch_length(batch: Any) -> int:
    """Return the number of samples in `batch`: the length of its first array."""
    return batch_length(batch[0]) if isinstance(batch, tuple) else len(batch)


def trim_batch(batch: Any, length: int) -> Any:
    """Return `batch` (of samples or of indices) with each array cut to its first `length` rows."""
    if isinstance(batch, ChoiceBatch):
        return ChoiceBatch(trim_batch(batch.sample_indices, length), batch.ds_index)
    if isinstance(batch, tuple):
        return tuple(trim_batch(member, length) for member in batch)
    return batch[:length]


def take_rows(batch: Any, rows: Any) -> Any:
    """Return the rows `rows` of `batch`, of indices in any structure of arrays."""
    if isinstance(batch, ChoiceBatch):
        return ChoiceBatch(take_rows(batch.sample_indices, rows), batch.ds_index)
    if isinstance(batch, tuple):
        return tuple(take_rows(member, rows) for member in batch)
    return np.asarray(batch)[rows]


def put_row(batch: Any, row: int, one: Any) -> Any:
    """Return `batch`, of indices in any structure of arrays, with the one row of `one` as its row `row`."""
    if isinstance(batch, ChoiceBatch):
        return ChoiceBatch(put_row(batch.sample_indices, row, one.sample_indices), batch.ds_index)
    if isinstance(batch, tuple):
        return tuple(put_row(member, row, own) for member, own in zip(batch, one, strict=True))
    changed = np.array(batch)
    changed[row] = one[0]
    return changed


def trim_to_shortest(batches: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return `batches`, one of each member of a composite, all cut to the length of the shortest."""
    lengths = [batch_length(batch) for batch in batches]
    shortest = min(lengths)
    if shortest == max(lengths):
        return batches
    return tuple(trim_batch(batch, shortest) for batch in batches)


def batch_nbytes(batch: Any) -> int:
    """Return about how many bytes `batch` holds.

    Exact for arrays, tensors and whatever else has `nbytes`, and for bytes; four a pixel for Pillow images;
    the sum for tuples, lists and dicts; 0 for what is none of these.
    """
    if isinstance(batch, (tuple, list)):
        return sum(batch_nbytes(member) for member in batch)
    if isinstance(batch, dict):
        return sum(batch_nbytes(member) for member in batch.values())
    if isinstance(batch, (bytes, bytearray, memoryview)):
        return len(batch)
    if isinstance(batch, Image.Image):
        return 4 * batch.width * batch.height
    nbytes = getattr(batch, "nbytes", 0)
    return nbytes if isinstance(nbytes, int) else 0


def batch_row(batch: Any, row: int) -> Any:
    """Return sample `row` of `batch`, a tuple of what the arrays and lists hold there."""
    if isinstance(batch, tuple):
        return tuple(batch_row(member, row) for member in batch)
    return batch[row]

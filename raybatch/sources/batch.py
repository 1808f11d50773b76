"""The structure of a batch: arrays or lists in tuples, nested to any depth."""

from __future__ import annotations

from typing import Any, TypeAlias

from PIL import Image

Batch: TypeAlias = tuple[Any, ...]


def batch_length(batch: Any) -> int:
    """Return the number of samples in `batch`: the length of its first array."""
    return batch_length(batch[0]) if isinstance(batch, tuple) else len(batch)


def trim_batch(batch: Any, length: int) -> Any:
    """Return `batch` with each array cut to its first `length` rows."""
    if isinstance(batch, tuple):
        return tuple(trim_batch(member, length) for member in batch)
    return batch[:length]


def trim_to_shortest(batches: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return `batches`, one of each child of a composite, all cut to the length of the shortest."""
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

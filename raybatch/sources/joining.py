"""Joins the batches of several sources into one batch with their rows, in any order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from raybatch.arrays import as_numpy
from raybatch.errors import ReturnError
from raybatch.memory import empty_batch
from raybatch.order.indices import IndexArray
from raybatch.ragged import RaggedArray
from raybatch.sources.batch import Batch, has_rows
from raybatch.structure import described, is_container, members, with_members


class Piece(NamedTuple):
    """The batch of one source, and the rows that it fills in a larger batch.

    `name` is for messages.
    """

    name: str
    rows: IndexArray
    batch: Batch


def joined(pieces: Sequence[Piece]) -> Batch:
    """Return the batch that `pieces` fill together.

    All must have the same fields. A field is an array, a tensor, a list or a RaggedArray, with the
    same dtype and row shape in each piece. A field without rows, such as a number, must be equal in
    all pieces. ReturnError names the field that differs.
    """
    return pieces[0].batch if len(pieces) == 1 else _joined(pieces, ())


def _joined(pieces: Sequence[Piece], field: tuple[Any, ...]) -> Any:
    first, *others = pieces
    for other in others:
        if _kind(other.batch) != _kind(first.batch):
            raise _unlike(first, other, field)
    if not is_container(first.batch):
        return _joined_leaves(pieces, field)
    held = [(piece, members(piece.batch)) for piece in pieces]
    made = {
        key: _joined([piece._replace(batch=own[key]) for piece, own in held], (*field, key))
        for key in members(first.batch)
    }
    return with_members(first.batch, made)


def _kind(value: Any) -> Any:
    """Return a description of `value` that must be equal for all values to join."""
    if is_container(value):
        # The order of the keys of a dict does not matter.
        return type(value), frozenset(members(value))
    if isinstance(value, RaggedArray):
        return RaggedArray, value.dtype, value.inner_shape
    if not has_rows(value):
        return type(value), value
    return type(value), getattr(value, "dtype", None), tuple(getattr(value, "shape", ()))[1:]


def _joined_leaves(pieces: Sequence[Piece], field: tuple[Any, ...]) -> Any:
    first = pieces[0].batch
    if not has_rows(first):
        return first
    count = sum(len(piece.rows) for piece in pieces)
    if isinstance(first, np.ndarray):
        made = empty_batch((count, *first.shape[1:]), first.dtype)
        for piece in pieces:
            made[piece.rows] = piece.batch
        return made
    order = np.argsort(np.concatenate([piece.rows for piece in pieces]))
    if isinstance(first, list):
        rows = [row for piece in pieces for row in piece.batch]
        return [rows[number] for number in order]
    if isinstance(first, RaggedArray):
        values = np.concatenate([piece.batch.values for piece in pieces])
        lengths = np.concatenate([piece.batch.lengths for piece in pieces])
        offsets = np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])
        return RaggedArray.from_offsets(values, offsets)[order]
    if hasattr(first, "detach"):  # a tensor, so torch is already imported
        return sys.modules["torch"].cat([piece.batch for piece in pieces])[order]
    arrays = [as_numpy(piece.batch) for piece in pieces]
    if not isinstance(arrays[0], np.ndarray):
        raise ReturnError(
            f"{_name(field)} is {described(first)}, but a batch that mixes sources can only hold"
            " arrays, tensors, lists and RaggedArrays: convert it with map or map_samples"
        )
    return np.concatenate(arrays)[order]


def _unlike(first: Piece, other: Piece, field: tuple[Any, ...]) -> ReturnError:
    return ReturnError(
        f"{_name(field)} is {described(first.batch)} of {first.name}, and {described(other.batch)}"
        f" of {other.name}. A batch mixes samples of both, so their fields must have the same"
        " names, dtypes and shapes: make them equal with map or map_samples of these sources"
    )


def _name(field: tuple[Any, ...]) -> str:
    return f"the field {'.'.join(map(str, field))!r}" if field else "a batch"

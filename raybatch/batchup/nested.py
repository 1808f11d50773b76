"""BatchUp's nested indices of a batch, converted from and to flat rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raybatch.order.rows import Rows
from raybatch.sources.mapped import unmapped
from raybatch.sources.mix import MixDataSource
from raybatch.sources.several import CompositeDataSource, OneOfSeveralDataSource
from raybatch.sources.source import DataSource


class ChoiceBatch(NamedTuple):
    """The indices of one batch of a `ChoiceDataSource`: `sample_indices` of member `ds_index`."""

    sample_indices: Any
    ds_index: int


class MixBatch(NamedTuple):
    """The indices of one batch that mixes the members of a source.

    `ds_indices`, int `(n,)`, is the number of the member that each row comes from. `sample_indices`
    maps the number of a member to its indices, in the order of its rows.
    """

    sample_indices: dict[int, Any]
    ds_indices: npt.NDArray[np.int64]


def to_rows(
    source: DataSource,
    indices: Any,
    position: int = 0,
    absolute: Callable[[DataSource, Any], Any] = lambda leaf, indices: indices,
) -> Rows:
    """Return the rows at `indices`.

    `indices` are an array, a tuple with one entry for each member, a `ChoiceBatch` or a `MixBatch`.
    `position` is the place of the first row in the order. `absolute(leaf, indices)` maps the
    indices of a leaf. ValueError or TypeError if `indices` do not have the structure of `source`.
    """
    source = unmapped(source)
    if isinstance(source, OneOfSeveralDataSource):
        return _placed(source, indices, position, absolute)
    if isinstance(source, CompositeDataSource):
        if len(indices) != len(source.children):
            raise ValueError(
                f"length mis-match: indices has {len(indices)} items, self has "
                f"{len(source.children)} data sources, should be equal"
            )
        pairs = zip(source.children, indices, strict=True)
        children = [to_rows(child, own, position, absolute) for child, own in pairs]
        return Rows.joined(enumerate(children))
    return Rows.of(absolute(source, indices), position)


def _placed(
    source: DataSource, indices: Any, position: int, absolute: Callable[[DataSource, Any], Any]
) -> Rows:
    if not isinstance(indices, (ChoiceBatch, MixBatch)):
        raise TypeError(f"indices should be a ChoiceBatch or a MixBatch, not a {type(indices)}")
    if isinstance(indices, ChoiceBatch):
        number = indices.ds_index
        child = source.children[number]
        return to_rows(child, indices.sample_indices, position, absolute).under(number)
    pieces = []
    for number, own in indices.sample_indices.items():
        rows = np.flatnonzero(np.asarray(indices.ds_indices) == number)
        child_rows = to_rows(source.children[number], own, position, absolute)
        pieces.append((rows, child_rows.under(number)))
    return Rows.placed(pieces)


def to_indices(source: DataSource, rows: Rows) -> Any:
    """Return the nested indices of `rows`."""
    source = unmapped(source)
    if isinstance(source, OneOfSeveralDataSource):
        filled = rows.by_child()
        nested = {n: to_indices(source.children[n], rows.child(n)) for n in filled}
        if len(filled) == 1 and not isinstance(source, MixDataSource):
            ((number, own),) = nested.items()
            return ChoiceBatch(own, number)
        members = np.empty(len(rows), np.int64)
        for number, own in filled.items():
            members[own] = number
        return MixBatch(nested, members)
    if isinstance(source, CompositeDataSource):
        numbered = enumerate(source.children)
        return tuple(to_indices(child, rows.child(number)) for number, child in numbered)
    return rows.indices

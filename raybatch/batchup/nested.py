"""BatchUp's nested indices of a batch, converted from and to flat rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from raybatch.order import Rows
from raybatch.sources import ChoiceDataSource, CompositeDataSource, DataSource, unmapped


class ChoiceBatch(NamedTuple):
    """The indices of one batch of a `ChoiceDataSource`: `sample_indices` of member `ds_index`."""

    sample_indices: Any
    ds_index: int


def to_rows(
    source: DataSource,
    indices: Any,
    position: int = 0,
    absolute: Callable[[DataSource, Any], Any] = lambda leaf, indices: indices,
) -> Rows:
    """Return the rows at `indices`.

    `indices` are an array, a tuple with one entry for each member, or a `ChoiceBatch`. `position`
    is the place of the first row in the order. `absolute(leaf, indices)` maps the indices of a
    leaf. ValueError or TypeError if the structure is not that of `source`.
    """
    source = unmapped(source)
    if isinstance(source, ChoiceDataSource):
        if not isinstance(indices, ChoiceBatch):
            raise TypeError(f"indices should be a ChoiceBatch, not a {type(indices)}")
        number = indices.ds_index
        child = to_rows(source.children[number], indices.sample_indices, position, absolute)
        return Rows.joined([(number, child)])
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


def to_indices(source: DataSource, rows: Rows) -> Any:
    """Return the nested indices of `rows`."""
    source = unmapped(source)
    if isinstance(source, ChoiceDataSource):
        number = rows.chosen
        return ChoiceBatch(to_indices(source.children[number], rows.child(number)), number)
    if isinstance(source, CompositeDataSource):
        numbered = enumerate(source.children)
        return tuple(to_indices(child, rows.child(number)) for number, child in numbered)
    return rows.indices

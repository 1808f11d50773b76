"""The fields of an `ArrayDataSource`: arrays, accessors, columns and lists, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from raybatch.accessors.items import ItemAccessor
from raybatch.arrays import is_array_like, takes_only_ints
from raybatch.collation import Setting, checked_setting
from raybatch.ragged import RaggedArray
from raybatch.sources.source import DataSource


def checked_fields(data: Any, collate: Setting | None) -> tuple[Any, dict[Any, Setting]]:
    """Return the array-likes in `data` by name or number, and the `collate` settings of the fields.

    `data` is a list or dict of array-likes, or one data set.
    """
    if isinstance(data, Mapping):
        for name in data:
            if not isinstance(name, str):
                raise TypeError(f"the names of fields in data must be strings, not {name!r}")
        given = dict(data)
    elif isinstance(data, list):
        given = dict(enumerate(data))
    elif isinstance(data, ItemAccessor) or takes_only_ints(data):
        return _array_of_items(None, data, collate), {}
    else:
        raise TypeError(
            "data must be a list or a dict of array-like objects, or a map-style data set, not a"
            f" {type(data)}"
        )
    if not given:
        raise ValueError(
            f"data must hold at least one array-like object; the {type(data).__name__} is empty"
        )
    settings = _settings(collate, given)
    fields = {key: _array_like(key, array, settings.get(key)) for key, array in given.items()}
    # The accessor collates its own items.
    settings = {
        key: way for key, way in settings.items() if not isinstance(fields[key], ItemAccessor)
    }
    return fields if isinstance(data, Mapping) else list(fields.values()), settings


def _settings(collate: Setting | None, fields: Mapping[Any, Any]) -> dict[Any, Setting]:
    """Return the settings of those `fields` that have one; ValueError for an unknown field."""
    if collate is None:
        return {}
    checked_setting(collate)
    if not isinstance(collate, Mapping):
        return dict.fromkeys(fields, collate)
    for key in collate:
        if key not in fields:
            known = ", ".join(map(repr, fields))
            raise ValueError(
                f"collate has a setting for {key!r}, which is not a field of data; the fields are"
                f" {known}"
            )
    return dict(collate)


def _array_like(key: Any, array: Any, setting: Setting | None) -> Any:
    """Return `array`, or an accessor of its items; TypeError if it is not an array-like."""
    if isinstance(array, (pa.Array, pa.ChunkedArray)):
        return _of_arrow(key, array)
    if isinstance(array, DataSource):
        raise TypeError(
            f"{field_name(key)} is a data source: combine sources with"
            " rb.CompositeDataSource([...])"
        )
    if isinstance(array, Mapping):
        raise TypeError(
            f"{field_name(key)} is a single {type(array).__name__}, but must be an array or"
            " array-like with all samples of a field. For a list of samples, use"
            " ArrayDataSource(rb.ItemAccessor(samples))"
        )
    if isinstance(array, (list, tuple, str, range)) or not is_array_like(array):
        raise TypeError(
            f"{field_name(key)} must be an array or array-like that takes index arrays, not a"
            f" {type(array)}. Convert a list of numbers with np.array(...), a list of lists of"
            " unequal lengths with rb.RaggedArray(...), and any other list with"
            " rb.ItemAccessor(...); for a Hugging Face data set, pass its columns, data_set[name]"
        )
    if isinstance(array, ItemAccessor) or takes_only_ints(array):
        return _array_of_items(key, array, setting)
    return array


def _of_arrow(key: Any, column: Any) -> Any:
    """Return an Arrow array or column as an array; lists become a RaggedArray.

    ValueError for nulls, which NumPy does not have.
    """
    if column.null_count:
        raise ValueError(
            f"{field_name(key)} has {column.null_count} nulls, but must have a value for"
            " each sample"
        )
    if pa.types.is_nested(column.type):
        return RaggedArray(column)
    chunks = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return chunks.to_numpy(zero_copy_only=False)


def _array_of_items(key: Any, items: Any, setting: Setting | None) -> ItemAccessor:
    if not isinstance(items, ItemAccessor):
        return ItemAccessor(items, "stack" if setting is None else setting)
    if setting is not None:
        raise ValueError(
            f"{field_name(key)} is an ItemAccessor, which has its own `collate` argument: pass the"
            " setting there"
        )
    return items


def field_name(key: Any) -> str:
    """Return the name of a field in messages."""
    return "data" if key is None else f"data[{key!r}]"

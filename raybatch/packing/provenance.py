"""Records how the rows of packed files were made; a packing continues only with equal settings."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

from raybatch.accessors.fingerprints import fingerprint_of, pickle_digest
from raybatch.errors import PackError
from raybatch.loader.fingerprint import fingerprint
from raybatch.sources.array import ArrayDataSource
from raybatch.sources.mapped import MapDataSource
from raybatch.sources.source import DataSource

# The path of an accessor's setting: the number or name of its column, and its own name.
_OF_COLUMN = re.compile(r"source\.data\.arrays(?:\[(\d+)\]|\.(\w+))\.(?:reader\.)?(.+)")

_DIGEST = re.compile(r"[0-9a-f]{32}")


def provenance(source: DataSource) -> dict[str, Any]:
    """Return the structure, samplers, accessors, arrays and functions of `source`, as JSON types.

    Functions are compared by name, not by code.
    """
    facts = {**fingerprint(source), "data": _data(source)}
    as_json: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return as_json


def _data(source: DataSource) -> dict[str, Any]:
    if isinstance(source, MapDataSource):
        facts = {"function": _function(source.fn), "of": _data(source.source)}
        return facts | _collating(source)
    if source.children:
        return {"members": [_data(child) for child in source.children]}
    if isinstance(source, ArrayDataSource):
        collating = _collating(source)
        if isinstance(source.data, dict):
            named = {name: _array(array) for name, array in source.data.items()}
            return {"arrays": named, **collating}
        arrays = source.data if isinstance(source.data, list) else [source.data]
        return {"arrays": [_array(array) for array in arrays], **collating}
    return {"kind": type(source).__qualname__}


def _collating(source: DataSource) -> dict[str, str]:
    """Return the setting `collate` of `source`, if it was given."""
    collate = getattr(source, "collate", None)
    return {"collate": repr(collate)} if collate else {}


def _array(array: Any) -> dict[str, Any]:
    try:
        return fingerprint_of(array)
    except TypeError:
        return {
            "kind": type(array).__qualname__
        }  # an object that cannot be pickled is known by its type alone


def _function(fn: Any) -> str:
    name = getattr(fn, "__qualname__", None)
    if name is not None:
        own = getattr(fn, "__self__", None)
        of = "" if own is None or isinstance(own, (type, ModuleType)) else f" of {_function(own)}"
        return f"{fn.__module__}.{name}{of}"
    try:
        return f"{type(fn).__qualname__} {pickle_digest(fn)}"
    except TypeError:
        return type(fn).__qualname__


def check_same(earlier: Any, now: Any, where: str, field: str = "") -> None:
    """Raise PackError, with the field, if the files at `where` have settings other than `now`."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        for name in [*now, *(name for name in earlier if name not in now)]:
            inner = f"{field}.{name}" if field else name
            check_same(earlier.get(name), now.get(name), where, inner)
    elif _are_parts(earlier) and _are_parts(now) and len(earlier) == len(now):
        for number, (one, other) in enumerate(zip(earlier, now, strict=True)):
            check_same(one, other, where, f"{field}[{number}]")
    elif earlier != now:
        raise PackError(
            f"{where!r} was packed with {_in_words(field, earlier, now)}: pack into a different"
            " folder, or remove this one"
        )


def _are_parts(value: Any) -> bool:
    """Return whether `value` is a list of settings; (height, width) is one setting."""
    return isinstance(value, list) and any(isinstance(each, (dict, list)) for each in value)


def _in_words(field: str, earlier: Any, now: Any) -> str:
    """Return a setting's name and values; an image's setting is named with its column.

    The values of digests say nothing, so they are left out.
    """
    setting, column = field.removeprefix("source."), ""
    of_column = _OF_COLUMN.fullmatch(field)
    if of_column is not None:
        number, name, setting = of_column.groups()
        column = f" in column {number or repr(name)}"
    if all(isinstance(value, str) and _DIGEST.fullmatch(value) for value in (earlier, now)):
        return f"other {setting}{column}"
    return f"{setting} {earlier!r}{column}, but now it is {now!r}"

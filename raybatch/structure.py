"""The structure of samples and batches: tuples, NamedTuples, dataclasses and mappings.

These containers hold members, and nest to any depth. Everything else is a leaf, even a list: in a
batch, an array or a list has one row for each sample.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_LONGEST = 200


def is_container(value: Any) -> bool:
    """Return whether `value` is a tuple, a mapping or an instance of a dataclass."""
    kind: Any = type(value)
    return _has_members(kind)


# Cached, because it is called for every sample of a list, and checking the base classes takes ten
# times as long.
@functools.lru_cache
def _has_members(kind: type) -> bool:
    # An array may be a dataclass too: zarr's arrays are.
    is_record = dataclasses.is_dataclass(kind) and not hasattr(kind, "shape")
    return issubclass(kind, (tuple, Mapping)) or is_record


def is_plain_tuple(value: Any) -> bool:
    """Return whether `value` is a tuple whose members have no names."""
    return isinstance(value, tuple) and not hasattr(value, "_fields")


def members(container: Any) -> dict[Any, Any]:
    """Return the members of a container: by number for a plain tuple, by name for any other."""
    if isinstance(container, tuple):
        return dict(
            zip(getattr(container, "_fields", range(len(container))), container, strict=True)
        )
    if isinstance(container, Mapping):
        return dict(container)
    return {field.name: getattr(container, field.name) for field in dataclasses.fields(container)}


def with_members(container: Any, changed: Mapping[Any, Any]) -> Any:
    """Return a container of the same type with the members `changed`, which has the same keys.

    An immutable mapping becomes a dict.
    """
    if isinstance(container, tuple):
        make: Callable[[Any], Any] = getattr(type(container), "_make", tuple)
        return make(changed.values())
    if type(container) is dict or (
        isinstance(container, Mapping) and not isinstance(container, MutableMapping)
    ):
        return dict(changed)
    made = copy.copy(container)
    if isinstance(made, MutableMapping):
        made.update(changed)
        return made
    for name, value in changed.items():
        object.__setattr__(made, name, value)  # the dataclass may be frozen
    return made


def map_leaves(change: Callable[[Any], Any], structure: Any) -> Any:
    """Return `structure` with each leaf replaced by `change(leaf)`."""
    if not is_container(structure):
        return change(structure)
    changed = {key: map_leaves(change, member) for key, member in members(structure).items()}
    return with_members(structure, changed)


def map_arrays(change: Callable[[Any], Any], structure: Any) -> Any:
    """Return `structure` with `change` applied to each leaf and to the elements of lists."""

    def changed(leaf: Any) -> Any:
        return [map_arrays(change, one) for one in leaf] if isinstance(leaf, list) else change(leaf)

    return map_leaves(changed, structure)


def leaves(structure: Any) -> Iterator[Any]:
    """Iterate over the leaves of `structure`, in their order."""
    if not is_container(structure):
        yield structure
        return
    for member in members(structure).values():
        yield from leaves(member)


def brief(value: Any) -> str:
    """Return a short `repr` of `value`, without memory addresses."""
    if inspect.isroutine(value):
        return getattr(value, "__qualname__", value.__name__)
    text = _ADDRESS.sub("", repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def function_name(fn: Any) -> str:
    """Return the name of `fn` for messages, and where it is defined if that is known."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if dataclasses.is_dataclass(fn):  # such as a transform, which shows its settings
        return brief(fn)
    name = getattr(fn, "__qualname__", getattr(fn, "__name__", None))
    if name is None or not callable(fn):
        return f"an object of {type(fn).__module__}.{type(fn).__qualname__}"
    code = getattr(fn, "__code__", None)
    place = "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"
    return f"the function {name}{place}"


def described(value: Any) -> str:
    """Return a description of `value` for messages: its structure, dtypes and shapes.

    An example: "(ndarray uint8[4, 7, 5, 3], {'y': ndarray int64[4]})".
    """
    if value is None:
        return "None (a missing `return`?)"
    kind = type(value).__name__
    if is_plain_tuple(value):
        return f"({', '.join(map(described, value))}{',' * (len(value) == 1)})"
    if is_container(value):
        fields = (f"{key!r}: {described(member)}" for key, member in members(value).items())
        return f"{'' if kind == 'dict' else kind}{{{', '.join(fields)}}}"
    if getattr(value, "shape", ()):
        return f"{kind} {getattr(value, 'dtype', '')}{list(value.shape)}"
    if hasattr(value, "__len__"):
        return f"{kind} of {len(value)}"
    return kind if len(repr(value)) > 40 else repr(value)

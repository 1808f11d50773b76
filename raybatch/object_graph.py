"""What an object leads to: what it holds, and the variables that its functions use."""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

# An object, and how it is reached from another: "[0]", ".name".
Part: TypeAlias = tuple[str, Any]

# Of a large object, some parts are enough to look at.
_MOST_SEEN = 2_000
# Their functions and classes lead far, and hold nothing for a program.
_LIBRARIES = sys.stdlib_module_names | {"numpy", "torch", "torchvision", "PIL"}
_LEAVES = (str, bytes, int, float, complex, type(None), np.ndarray, types.ModuleType)


def reached(
    name: str, value: Any, parts: Callable[[Any], Iterator[Part]] | None = None
) -> Iterator[Part]:
    """Iterate over `value`, called `name`, and over what it leads to by `parts`, the nearest first; each comes once.

    Without `parts` these are `parts_in_use`. Classes come after all else, as they lead far.
    """
    parts = parts_in_use if parts is None else parts
    seen: set[int] = set()
    kept: list[Any] = []  # an object that is made here and let go would leave its id to another
    near: deque[Part] = deque([(name, value)])
    far: deque[Part] = deque()
    while (near or far) and len(seen) < _MOST_SEEN:
        path, part = (near or far).popleft()
        if isinstance(part, _LEAVES) or id(part) in seen:
            continue
        seen.add(id(part))
        kept.append(part)
        yield path, part
        for step, inner in islice(parts(part), _MOST_SEEN):
            (far if isinstance(inner, type) else near).append((path + step, inner))


def parts_in_use(value: Any) -> Iterator[Part]:
    """Iterate over what `value` holds in this process, and what its class and its functions use, unless they are a library's."""
    if isinstance(value, (type, types.FunctionType)) and _is_of_library(value):
        return
    found = structural_parts(value)
    if found is not None:
        yield from found
        if isinstance(value, types.FunctionType):
            yield from _of_modules(value)
        return
    if isinstance(value, dict):
        yield from _entries(value)
    elif isinstance(value, (list, deque)):
        yield from _numbered(value)
    yield from _attributes(value)
    yield from ((".__class__", kind) for kind in type(value).__mro__)


def structural_parts(value: Any) -> Iterator[Part] | None:
    """Iterate over the parts of a container, a function, a method, a partial or a class; None for any other object."""
    if type(value) is dict:
        return _entries(value)
    if type(value) in (list, set, frozenset) or isinstance(value, tuple):
        return _numbered(value)
    if isinstance(value, (types.MethodType, types.BuiltinMethodType)):
        names = ("__self__", "__func__")
        return ((f".{name}", getattr(value, name)) for name in names if hasattr(value, name))
    if isinstance(value, functools.partial):
        return ((f".{name}", getattr(value, name)) for name in ("func", "args", "keywords"))
    if isinstance(value, types.FunctionType):
        return _of_function(value)
    if isinstance(value, type):
        return (
            (f".{name}", part)
            for name, part in vars(value).items()
            if name[:2] != "__" or isinstance(part, types.FunctionType)
        )
    return None


def names_in(code: types.CodeType) -> Iterator[str]:
    """Iterate over the names of variables, attributes and modules that `code` uses, and the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def _is_of_library(value: Any) -> bool:
    return str(value.__module__).partition(".")[0] in _LIBRARIES


def _entries(value: dict[Any, Any]) -> Iterator[Part]:
    return ((f"[{key!r}]", part) for key, part in list(value.items()))


def _numbered(value: Any) -> Iterator[Part]:
    return ((f"[{number}]", part) for number, part in enumerate(value))


def _of_function(value: types.FunctionType) -> Iterator[Part]:
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            yield f"'s variable {name}", cell.cell_contents
        except ValueError:
            continue  # it is not defined to its end
    names = dict.fromkeys(names_in(value.__code__))
    known = value.__globals__
    yield from ((f"'s variable {name}", known[name]) for name in names if name in known)
    yield from ((f".{name}", getattr(value, name)) for name in ("__defaults__", "__kwdefaults__"))


def _of_modules(value: types.FunctionType) -> Iterator[Part]:
    """Iterate over what the function takes from modules, such as `helpers.draw`."""
    names = dict.fromkeys(names_in(value.__code__))
    for module_name in names:
        module = value.__globals__.get(module_name)
        if isinstance(module, types.ModuleType):
            held = vars(module)
            yield from (
                (f"'s variable {module_name}.{name}", held[name]) for name in names if name in held
            )


def _attributes(value: Any) -> Iterator[Part]:
    # `vars` of an object may be computed, and what is computed may fail.
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict):
        yield from ((f".{name}", part) for name, part in list(held.items()))
    for kind in type(value).__mro__:
        for name, slot in vars(kind).items():
            if isinstance(slot, types.MemberDescriptorType):
                try:
                    yield f".{name}", slot.__get__(value)
                except AttributeError:
                    continue  # it is not set

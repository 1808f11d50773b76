"""The objects that an object refers to: attributes, elements, variables of functions."""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

# The step from one object to the next, such as "[0]" or ".name", and the object that it leads to.
Part: TypeAlias = tuple[str, Any]

# A search ends after this number of objects.
_MOST_SEEN = 2_000
# Functions and classes of these libraries refer to many objects, and hold no state of the program.
# If they were searched (raybatch's own are among them), the search would end before it reached the
# program's objects.
_LIBRARIES = sys.stdlib_module_names | {
    *("numpy", "pandas", "PIL", "pyarrow", "ray", "raybatch", "torch", "torchvision"),
}
_LEAVES = (str, bytes, int, float, complex, type(None), np.ndarray, types.ModuleType)


def reached(
    name: str, value: Any, parts: Callable[[Any], Iterator[Part]] | None = None
) -> Iterator[Part]:
    """Iterate over `value`, called `name`, and what it refers to, nearest first, each once.

    Texts, numbers, None, NumPy arrays and modules are left out.
    `parts(object)` gives the objects that one object refers to; by default it is `parts_in_use`.
    Classes come last, since they refer to many objects. The search ends after 2,000 objects.
    """
    parts = parts_in_use if parts is None else parts
    seen: set[int] = set()
    kept: list[Any] = []  # keeps temporary objects alive, so that no other object gets their ids
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
    """Iterate over what `value` holds in this process, and what its class and functions use.

    Classes and functions of libraries are left out.
    """
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
    """Iterate over the parts of a container, function, method, partial or class.

    None for other objects.
    """
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
    """Iterate over the names of variables, attributes and modules in `code`, at any depth."""
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
            continue  # the variable has no value yet
    names = dict.fromkeys(names_in(value.__code__))
    known = value.__globals__
    yield from ((f"'s variable {name}", known[name]) for name in names if name in known)
    yield from ((f".{name}", getattr(value, name)) for name in ("__defaults__", "__kwdefaults__"))


def _of_modules(value: types.FunctionType) -> Iterator[Part]:
    """Iterate over the members of modules that the function uses, such as `helpers.draw`."""
    names = dict.fromkeys(names_in(value.__code__))
    for module_name in names:
        module = value.__globals__.get(module_name)
        if isinstance(module, types.ModuleType):
            held = vars(module)
            yield from (
                (f"'s variable {module_name}.{name}", held[name]) for name in names if name in held
            )


def _attributes(value: Any) -> Iterator[Part]:
    # `__dict__` may be a property, and give anything.
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict):
        yield from ((f".{name}", part) for name, part in list(held.items()))
    for kind in type(value).__mro__:
        for name, slot in vars(kind).items():
            if isinstance(slot, types.MemberDescriptorType):
                try:
                    yield f".{name}", slot.__get__(value)
                except AttributeError:
                    continue  # the slot is empty

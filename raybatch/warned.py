"""Python warnings while samples are read: they name the file, and obey the program's filters."""

from __future__ import annotations

import contextlib
import operator
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from raybatch.notices import about as telling_about
from raybatch.notices import subject

_lock = threading.Lock()
_readers = 0


@contextmanager
def about(name: Callable[[], str]) -> Iterator[None]:
    """Name the subject of warnings and notices in the block: `name()`, the file being read."""
    global _readers
    with _lock:
        _readers += 1
        if not isinstance(warnings.showwarning, _ShowNamed):
            warnings.showwarning = _ShowNamed(warnings.showwarning)
    try:
        with telling_about(name):
            yield
    finally:
        with _lock:
            _readers -= 1
            # Restore the program's function, unless it has set a new one meanwhile.
            if _readers == 0 and isinstance(warnings.showwarning, _ShowNamed):
                warnings.showwarning = warnings.showwarning.show


class _ShowNamed:
    """Shows a warning by `show`, prefixed with the name of the file that the thread reads."""

    def __init__(self, show: Callable[..., Any]) -> None:
        self.show = show

    def __call__(self, message: Any, *where: Any, **more: Any) -> None:
        name = subject()
        self.show(f"{name}: {message}" if name else message, *where, **more)


def filters_here() -> tuple[bytes, ...]:
    """Return this process's warning filters, such as `-W error`, each pickled.

    Filters that cannot be pickled are left out. A category is sent by its name; otherwise torch's
    filters would make every process import torch.
    """
    found = []
    category: Any
    for action, message, category, module, line in list(warnings.filters):
        with contextlib.suppress(Exception):
            name = category.__module__, category.__qualname__
            found.append(pickle.dumps((action, message, name, module, line)))
    return tuple(found)


# The filters that were applied last, as they came and unpickled.
_last: tuple[tuple[bytes, ...], list[Any]] = ((), [])


@contextmanager
def filtered_as_by(filters: tuple[bytes, ...]) -> Iterator[None]:
    """Apply the `filters` of another process in the block.

    Only for processes in which nobody else sets filters.
    """
    global _last
    rules: Any = warnings.filters
    own = rules[:]
    if filters != _last[0]:
        warnings.resetwarnings()  # this also forgets which warnings were shown already
        _last = filters, list(_loaded(filters))
    rules[:] = _last[1]
    try:
        yield
    finally:
        rules[:] = own


def _loaded(filters: tuple[bytes, ...]) -> Iterator[Any]:
    for data in filters:
        with contextlib.suppress(Exception):
            action, message, (of_module, name), module, line = pickle.loads(data)
            yield action, message, _category(of_module, name), module, line


def _category(module: str, name: str) -> Any:
    return _found(module, name) or _Absent(name, (), {"__module__": module})


def _found(module: str, name: str) -> Any:
    """Return the class of that name; None while its module is not imported here."""
    try:
        return operator.attrgetter(name)(sys.modules[module])
    except (KeyError, AttributeError):
        return None


class _Absent(type):
    """Replaces a category whose module is not imported here.

    Until the module is imported, no warning can belong to it.
    """

    def __subclasscheck__(cls, category: type) -> bool:
        found = _found(cls.__module__, cls.__name__)
        return found is not None and issubclass(category, found)

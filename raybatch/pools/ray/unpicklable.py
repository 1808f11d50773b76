"""Finds the part of an object that cannot be pickled, and says what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import ray
from ray import cloudpickle

from raybatch.object_graph import Part, structural_parts

# The maximum depth of the search. For a deeper part, the message names the part around it.
_MAX_DEPTH = 50


def unpicklable(what: str, value: Any, error: Exception) -> Exception:
    """Return the exception to raise when `value`, called `what`, cannot be pickled due to `error`.

    It is a TypeError that names the part that cannot be pickled, or `error` if all parts can be.
    """
    path, reason = what, _pickling_error(value)
    if reason is None:
        return error
    for _ in range(_MAX_DEPTH):
        found = ((name, part, _pickling_error(part)) for name, part in parts_in_pickle(value))
        culprit = next((one for one in found if one[2] is not None), None)
        if culprit is None:
            break
        path, value, reason = path + culprit[0], culprit[1], culprit[2]
    made = TypeError(
        f"the {what} cannot be sent to Ray's actors: {path} is a {_kind(type(value))} ({reason}). "
        f"{_advice(value)}; or use a ThreadPool, whose threads share it with the program"
    )
    made.__cause__ = reason
    return made


def _pickling_error(value: Any) -> Exception | None:
    """Return the exception that pickling `value` raises; None if it raises none."""
    # Arrays without objects can always be pickled; do not copy large ones to find out.
    if (isinstance(value, np.ndarray) and not value.dtype.hasobject) or isinstance(
        value, ray.ObjectRef
    ):
        return None
    try:
        cloudpickle.dumps(value)
    except Exception as error:
        return error
    return None


def parts_in_pickle(value: Any) -> Iterator[Part]:
    """Iterate over the parts that are pickled with `value`, each with its path, such as ".fn"."""
    found = structural_parts(value)
    return _parts_of_object(value) if found is None else found


def _parts_of_object(value: Any) -> Iterator[Part]:
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:
        return
    if isinstance(reduced, str):
        return
    _, arguments, state, *items = (*reduced, None, None)[:5]
    # The state of an object with slots is a pair of dicts.
    for names in state if isinstance(state, tuple) else (state,):
        if isinstance(names, dict):
            yield from ((f".{name}", part) for name, part in names.items())
        elif names is not None:
            yield "'s state", names
    yield ".__class__", type(value)
    yield from ((f"'s argument {number}", part) for number, part in enumerate(arguments))
    yield from (("'s items", list(some)) for some in items if some is not None)


def _kind(kind: type) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _advice(value: Any) -> str:
    if isinstance(value, Iterator):
        return "Make a list or an array of its items"
    return (
        "Create it in each process when it is first used, and do not pickle it: define a "
        "`__getstate__` that returns the other attributes, or replace the variable by a function "
        "that creates it"
    )

"""Checks of arguments that many settings share."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any


def positive_int(name: str, value: Any) -> int:
    """Return `value` as an int; TypeError if it is no integer, ValueError if it is below 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    number = operator.index(value)
    if number < 1:
        raise ValueError(f"{name} must be 1 or more, not {number}")
    return number


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return `value`; ValueError if it is none of `choices`."""
    if value not in (known := list(choices)):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
    return str(value)

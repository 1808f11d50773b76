"""Checks of arguments that many settings share."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np

Arguments = ParamSpec("Arguments")
Values = TypeVar("Values")


def says_instead(
    name: str, instead: Mapping[str, str]
) -> Callable[[Callable[Arguments, None]], Callable[Arguments, None]]:
    """Return a decorator for the constructor of `name` that knows arguments of other libraries.

    `instead` maps each argument that the constructor lacks to advice on what to do instead. The
    constructor then raises a TypeError with that advice.
    """

    def decorated(init: Callable[Arguments, None]) -> Callable[Arguments, None]:
        @functools.wraps(init)
        def checked(*args: Arguments.args, **options: Arguments.kwargs) -> None:
            if unknown := [option for option in options if option in instead]:
                advice = (
                    f"{option}= is no argument of {name}: {instead[option]}" for option in unknown
                )
                raise TypeError("; ".join(advice))
            init(*args, **options)

        return checked

    return decorated


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun: "1 weight", "3 weights"; `plural` if that needs more than s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def positive_int(name: str, value: Any) -> int:
    """Return `value` as an int; TypeError if it is not an integer, ValueError if it is below 1."""
    return int_between(name, value, 1)


def integer(name: str, value: Any) -> int:
    """Return `value` as an int; TypeError, naming the setting, if it is not an integer."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    return operator.index(value)


def int_between(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return `value` as an int.

    TypeError if it is no integer; ValueError if it is below `low`, or above `high` unless that is
    None.
    """
    number = integer(name, value)
    if number < low or (high is not None and number > high):
        limits = f"{low} or more" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be {limits}, not {number}")
    return number


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return `value`; ValueError if it is not one of `choices`."""
    if value not in (known := list(choices)):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
    return str(value)


def height_and_width(name: str, value: Any, *, or_edge: bool = False) -> tuple[int, int]:
    """Return `value` as (height, width) in pixels; with `or_edge`, one integer can give both.

    TypeError if it is not two integers, ValueError if one of them is below 1.
    """
    try:
        edges = (value, value) if or_edge and not np.iterable(value) else value
        height, width = map(operator.index, in_order(name, edges))
    except (TypeError, ValueError):
        wanted = "an integer or (height, width)" if or_edge else "(height, width), two integers"
        raise TypeError(f"{name} must be {wanted}, not {value!r}") from None
    if height < 1 or width < 1:
        raise ValueError(f"{name} must have 1 or more pixels, not {value!r}")
    return height, width


def in_order(name: str, values: Values) -> Values:
    """Return `values`; TypeError if they are a set, whose order changes from process to process."""
    if isinstance(values, (set, frozenset)):
        raise TypeError(f"{name} must be a list, not a set, which has no fixed order")
    return values


def numbers_in(name: str, values: Any) -> list[float]:
    """Return `values` as floats; TypeError, naming the setting, if they are no list of numbers."""
    if isinstance(values, (str, Mapping)) or not np.iterable(values):
        raise TypeError(f"{name} must be a list of numbers, not {values!r}")
    numbers = list(in_order(name, values))
    for position, one in enumerate(numbers):
        if isinstance(one, str) or not hasattr(one, "__float__"):
            raise TypeError(f"{name}[{position}] must be a number, not {one!r}")
    return [float(one) for one in numbers]


def is_number(value: Any) -> bool:
    """Return whether `value` is a real number, Python's or NumPy's."""
    return isinstance(value, (int, float, np.integer, np.floating))


def takes(function: Any, *args: Any, **kwargs: Any) -> bool:
    """Return whether `function` can be called with these arguments; True if that is unknown."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # some functions in C have no signature
        return True
    return True


def checked_fill(fill: Any) -> Any:
    """Return `fill`; a list becomes a tuple.

    ValueError if it is not one level from 0 to 255, or a list of 1 to 4, one for each channel.
    """
    values = tuple(fill) if isinstance(fill, (tuple, list)) else (fill,)
    if not 1 <= len(values) <= 4 or not all(is_number(one) and 0 <= one <= 255 for one in values):
        raise ValueError(
            f"fill must be from 0 to 255, one value or one for each channel, not {fill!r}"
        )
    return values if isinstance(fill, (tuple, list)) else fill


def pair(name: str, value: Any) -> tuple[float, float]:
    """Return `value` as (min, max); TypeError, naming the setting, if it is not two numbers."""
    try:
        low, high = map(float, in_order(name, value))
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be (min, max), two numbers, not {value!r}") from None
    return low, high

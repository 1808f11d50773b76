"""Functions that draw from their own random generators, held in every way that Python offers."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tests import drawn_from

RNG = np.random.default_rng()


def copied(generator: Any) -> Any:
    """Return a generator that draws the same numbers as `generator`."""
    return pickle.loads(pickle.dumps(generator))


def of_global() -> float:
    return RNG.random()


def of_module() -> float:
    return drawn_from.RNG.random()


def of_other_function() -> float:
    return drawn_from.draw()


def of_inner_function() -> float:
    def inner() -> float:
        return RNG.random()

    return inner()


def of_closure() -> Callable[[], float]:
    rng = random.Random()
    return lambda: rng.random()


def of_default(rng: Any = np.random.RandomState()) -> float:  # noqa: B008 - as a user may write it
    return float(rng.random_sample())


class Plain:
    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def draw(self) -> Any:
        return self.rng.random()

    def __call__(self) -> Any:
        return self.draw()


class Slots:
    __slots__ = ("rng", "unset")

    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def __call__(self) -> Any:
        return self.rng.random()


class OfClass:
    rng = np.random.default_rng()

    def __call__(self) -> Any:
        return self.rng.random()


class OfGlobal:
    def __call__(self) -> Any:
        return RNG.random()


class Registry(dict[str, Any]):
    def __call__(self) -> Any:
        return self["rng"].random()


def legacy() -> Any:
    return np.random.RandomState(np.random.PCG64())


WAYS: dict[str, Callable[[], Any]] = {
    "a variable of the module": lambda: of_global,
    "a variable of another module": lambda: of_module,
    "a function of another module": lambda: of_other_function,
    "a function in a function": lambda: of_inner_function,
    "a closure": of_closure,
    "a default": lambda: of_default,
    "a partial": lambda: partial(lambda rng: rng.random(), np.random.default_rng()),
    "an attribute": lambda: Plain(np.random.default_rng()),
    "a method": lambda: Plain(random.Random()).draw,
    "a method that is built in": lambda: random.Random().random,
    "an attribute of an attribute": lambda: (
        Plain(Slots([np.random.default_rng()])).rng.rng[0].random
    ),
    "a slot": lambda: Slots(np.random.default_rng(np.random.MT19937())),
    "a class": OfClass,
    "a variable of a method": OfGlobal,
    "a dict of its own kind": lambda: Registry(rng=np.random.Generator(np.random.SFC64())),
    "a RandomState of other bits": lambda: Plain(legacy()),
}

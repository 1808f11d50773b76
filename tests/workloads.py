"""Data sets and tasks that behave, and misbehave, as users' code may."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np


class UnpicklableError(Exception):
    """An error that can be pickled, but not unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


class Squares:
    """An array-like of squares, which does `trouble` at index 13."""

    def __init__(self, length: int, trouble: str = "") -> None:
        self.length, self.trouble = length, trouble

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if self.trouble and 13 in index:
            if self.trouble == "ValueError":
                raise ValueError("13 is bad") from KeyError("the cause")
            if self.trouble == "Unpicklable":
                raise UnpicklableError("a", "b")
            if self.trouble == "sys.exit":
                sys.exit(3)
            if self.trouble == "result":
                return [threading.Lock()] * len(index)
            os.kill(os.getpid(), signal.SIGKILL)
        return index**2


class Counted:
    """An array-like that creates a file for each read."""

    def __init__(self, length: int, folder: Path) -> None:
        self.length, self.folder = length, folder

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        (self.folder / str(index[0])).touch()
        return np.zeros((len(index), 1000))


def raise_base_exception() -> None:
    raise asyncio.CancelledError


def power(base: int, exponent: int = 1) -> int:
    return int(base**exponent)


def total(array: np.ndarray[Any, Any], factor: int) -> tuple[int, int]:
    return int(array.sum()) * factor, id(array)


def numpy_draws(index: Any) -> tuple[Any]:
    return (np.random.random(3),)


def add_then_fail(x: int) -> int:
    if x == 2:
        raise ValueError(f"{x} is bad")
    return x + 1

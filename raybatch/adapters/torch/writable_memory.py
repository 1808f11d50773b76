"""Writable views of memory that NumPy marks as read-only."""

from __future__ import annotations

from typing import Any

import numpy as np


def writable_view(array: Any) -> Any:
    """Return a writable view of the memory of `array`, any NumPy array."""
    return array if array.flags.writeable else np.asarray(_SameMemory(array))


class _SameMemory:
    """The memory of a read-only array, made to look writable. torch warns about read-only ones."""

    def __init__(self, array: Any) -> None:
        self._array = array  # keeps the memory alive
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}

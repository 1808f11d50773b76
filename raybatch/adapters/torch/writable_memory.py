"""Memory that NumPy has marked read-only, and that may be written to all the same."""

from __future__ import annotations

from typing import Any

import numpy as np


def writable_view(array: Any) -> Any:
    """Return a view of the memory of `array`, any NumPy array, that may be written to."""
    return array if array.flags.writeable else np.asarray(_SameMemory(array))


class _SameMemory:
    """Stands for the memory of a read-only array as if it were not: torch warns of those that are, in the process."""

    def __init__(self, array: Any) -> None:
        self._array = array  # which owns the memory
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}

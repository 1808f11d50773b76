"""Checks of settings that several augmentations have."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    """Return whether `value` is a real number, Python's or NumPy's."""
    return isinstance(value, (int, float, np.integer, np.floating))


def pair(name: str, value: Any) -> tuple[float, float]:
    """Return `value` as (min, max); TypeError, naming the setting, if it is not two numbers."""
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be (min, max), two numbers, not {value!r}") from None
    return low, high

"""Weights of the members of a source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from raybatch.checks import counted, numbers_in

# The weight of each member, by name or in the order of the members; None for equal weights.
Weights: TypeAlias = "Mapping[str, float] | Sequence[float] | None"


def checked_weights(weights: Any, names: list[str]) -> list[float]:
    """Return `weights` in the order of `names`; ValueError or TypeError if they are not valid."""
    if weights is None:
        return [1.0] * len(names)
    if isinstance(weights, Mapping):
        given = {str(name): weight for name, weight in weights.items()}
        if given.keys() != set(names):
            raise ValueError(
                f"weights are for {sorted(given)}, but the members are {sorted(names)}"
            )
        numbers = numbers_in("weights", [given[name] for name in names])
    else:
        numbers = numbers_in("weights", weights)
        if len(numbers) != len(names):
            raise ValueError(
                f"weights has {counted(len(numbers), 'number')} for {counted(len(names), 'member')}"
            )
    for name, number in zip(names, numbers, strict=True):
        if not 0 <= number < math.inf:
            raise ValueError(f"the weight of {name!r} must be 0 or more and finite, not {number}")
    if not any(numbers):
        raise ValueError("at least one weight must be above 0")
    return numbers

"""The batch size: what is one, and how many batches it makes."""

from __future__ import annotations

import operator
from typing import Any


def check_batch_size(batch_size: Any) -> int:
    """Return `batch_size` as an int; TypeError if it is no integer, ValueError if it is below 1."""
    if isinstance(batch_size, bool):
        raise TypeError(f"batch_size must be an integer, not {batch_size!r}")
    try:
        size = operator.index(batch_size)
    except TypeError:
        raise TypeError(f"batch_size must be an integer, not {batch_size!r}") from None
    if size < 1:
        raise ValueError(f"batch_size must be 1 or more, not {size}")
    return size


def num_batches(n: int, batch_size: int) -> int:
    """Return how many batches of `batch_size` cover `n` samples, a short last one counted."""
    return -(-n // check_batch_size(batch_size))

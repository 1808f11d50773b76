"""What takes one index at a time, as an accessor."""

from __future__ import annotations

from typing import Any

import numpy as np

from raybatch.accessors.reading import map_rows, sample_positions
from raybatch.arrays import is_array_like, portable, sample_count, stack_samples


class ItemAccessor:
    """The samples of `items`, which has a length and takes an int: a map-style PyTorch `Dataset`, a list.

    An int gives one sample, an integer array the batch: of samples that are tuples it is a tuple, arrays, tensors and
    numbers are stacked, and the rest is in lists. ValueError for arrays of unequal shapes.
    """

    def __init__(self, items: Any) -> None:
        if not is_array_like(items):
            raise TypeError(
                f"items must have a length and take an int, as a {type(items)} does not"
            )
        self.items = items

    def __len__(self) -> int:
        return sample_count(self.items)

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            return self._sample(positions)
        return stack_samples(map_rows(self._sample, positions.tolist()))

    def _sample(self, position: int) -> Any:
        return _without_tensors(self.items[position])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"items": portable(self.items)}


def _without_tensors(sample: Any) -> Any:
    if isinstance(sample, tuple):
        return tuple(_without_tensors(member) for member in sample)
    return np.asarray(sample) if hasattr(sample, "__dlpack__") else sample

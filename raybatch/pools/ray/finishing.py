"""Converts images, which actors send as bytes, to the floats that the consumer gets."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

from raybatch.image.pixels import UnfinishedImages
from raybatch.making.request import Result
from raybatch.memory import ReusedMemory
from raybatch.pools.session import Results
from raybatch.structure import map_leaves


class FinishedResults(Results):
    """Results whose images get their layout when they are fetched.

    The memory of the images is used again when the consumer has dropped them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._memory: defaultdict[int, ReusedMemory] = defaultdict(ReusedMemory)

    def fetch(self, key: int, attempt: int) -> Result:
        result, numbers = super().fetch(key, attempt), itertools.count()

        def finished(leaf: Any) -> Any:
            number = next(numbers)
            if not isinstance(leaf, UnfinishedImages):
                return leaf
            images = leaf.finished(self._memory[number])
            images.flags.writeable = False  # like all arrays from an actor
            return images

        return result._replace(batch=map_leaves(finished, result.batch))

    def clear(self) -> None:
        super().clear()
        self._memory.clear()

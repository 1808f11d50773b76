"""Random flips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raybatch.checks import is_number
from raybatch.image.augment.transform import Geometric
from raybatch.image.view import Mirror, Step


@dataclass(frozen=True)
class _RandomFlip(Geometric):
    p: float = 0.5

    _mirror: ClassVar[Mirror]

    def __post_init__(self) -> None:
        if not is_number(self.p):
            raise TypeError(f"p must be a number, not {self.p!r}")
        if not 0 <= self.p <= 1:
            raise ValueError(f"p must be from 0 to 1, not {self.p!r}")

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        return [self._mirror] if rng.random() < self.p else []


class RandomHorizontalFlip(_RandomFlip):
    """Swap left and right, with the probability `p`."""

    _mirror = Mirror(columns=True)


class RandomVerticalFlip(_RandomFlip):
    """Swap top and bottom, with the probability `p`."""

    _mirror = Mirror(rows=True)

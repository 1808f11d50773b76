"""What every contender is given to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Work:
    """Load the images at `paths`, in that order, `epochs` times.

    Each becomes uint8 `(height, width, 3)` of `size`, in batches of `batch_size`, the last of an epoch shorter.
    `workers` is the number of processes, or of threads, that decode. `scale_margin` is for those that scale
    while they decode.
    """

    paths: tuple[str, ...]
    size: tuple[int, int]
    batch_size: int
    workers: int
    epochs: int = 1
    scale_margin: float = 2.0

    def batch_indices(self) -> list[npt.NDArray[np.int64]]:
        """Return the indices into `paths` of each batch of an epoch."""
        indices = np.arange(len(self.paths))
        return [
            indices[begin : begin + self.batch_size]
            for begin in range(0, len(indices), self.batch_size)
        ]

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Work:
        """Return what `dataclasses.asdict` made a JSON object of."""
        return cls(**{**fields, "paths": tuple(fields["paths"]), "size": tuple(fields["size"])})

"""PyTorch's DataLoader over a map-style data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from raybatch.bench.plain import read_image
from raybatch.bench.work import Work


class _Images:
    def __init__(self, work: Work) -> None:
        self._work = work

    def __len__(self) -> int:
        return len(self._work.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = read_image(self._work.paths[index], self._work.size)
        return torch.from_numpy(image.copy()), index


def batches(work: Work) -> Iterator[tuple[Any, Any]]:
    """Load in worker processes that live through all epochs.

    The default collation of tensors stacks them in shared memory, so a batch is not copied again.
    """
    loader = DataLoader(
        _Images(work), work.batch_size, num_workers=work.workers, persistent_workers=True
    )
    for _ in range(work.epochs):
        yield from loader

"""The batches of a loader by PyTorch's DataLoader: the same pixels in the same order, to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

import raybatch as rb


class Photos:
    """Images and labels one by one, as a data set for PyTorch."""

    def __init__(self, paths: list[str], labels: Any, size: tuple[int, int]) -> None:
        self._paths, self._labels, self._size = paths, labels, size

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = self._size
        with Image.open(self._paths[index]) as file:
            image = file.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(image)), torch.tensor(self._labels[index])


class Indices:
    """The indices of each batch of an epoch, out of a loader that has nothing else to load."""

    def __init__(self, order: rb.Loader) -> None:
        self._order = order

    def __iter__(self) -> Iterator[list[int]]:
        for (indices,) in self._order:
            yield indices.tolist()


def dataloader(photos: Photos, order: rb.Loader, workers: int) -> Any:
    """Return a DataLoader over `photos` in the order of `order`, a loader of indices."""
    return DataLoader(
        photos,
        batch_sampler=Indices(order),
        num_workers=workers,
        persistent_workers=True,
    )

"""Hugging Face datasets: its image feature and a transform, in PyTorch's DataLoader as its guide recommends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Image
from PIL.Image import Resampling
from torch.utils.data import DataLoader

from raybatch.bench.work import Work


def batches(work: Work) -> Iterator[tuple[Any, Any]]:
    """Load in worker processes that live through all epochs."""
    height, width = work.size

    def scaled(rows: dict[str, list[Any]]) -> dict[str, Any]:
        images = [image.resize((width, height), Resampling.BILINEAR) for image in rows["image"]]
        tensors = [torch.from_numpy(np.array(image)) for image in images]
        return {"image": tensors, "index": rows["index"]}

    table = {"image": list(work.paths), "index": list(range(len(work.paths)))}
    dataset = Dataset.from_dict(table).cast_column("image", Image(mode="RGB"))
    loader = DataLoader(
        dataset.with_transform(scaled),
        work.batch_size,
        num_workers=work.workers,
        persistent_workers=True,
    )
    for _ in range(work.epochs):
        for batch in loader:
            yield batch["image"], batch["index"]

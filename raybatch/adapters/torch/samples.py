"""The samples of a loader one by one, for programs that collate samples themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset

from raybatch.adapters.torch.to_torch import LoaderDataset
from raybatch.sources.batch import batch_length, batch_row


class SampleDataset(IterableDataset):  # type: ignore[misc] # torch may be missing where types are checked
    """The samples of `batches`, in their order, as tensors; each iteration is one epoch.

    It is for programs that collate samples themselves: Hugging Face's `Trainer` takes it as
    `train_dataset`, and so does any `DataLoader(dataset, batch_size=n)`. With the loader's own
    batch size, the batches are those of the loader. A sample is a view of its batch, so collating
    copies it once. `len()` counts every batch of the loader as a full one. ValueError for batches
    with `ragged="pair"`, which have no rows.
    """

    def __init__(self, batches: LoaderDataset) -> None:
        if batches.ragged == "pair":
            raise ValueError('samples need batches with ragged="nested", not "pair"')
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches) * self.batches.loader.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the epoch of the next iteration; see `AheadLoader.set_epoch`."""
        self.batches.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.batches)
        return (batch_row(batch, row) for batch in batches for row in range(batch_length(batch)))

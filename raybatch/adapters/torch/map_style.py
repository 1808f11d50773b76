"""Batches of a map-style data set of PyTorch, as a source that workers read."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate
from torch.utils.data._utils import (
    worker as worker_module,
)  # there is no public way to say which worker a process is

from raybatch.order import RandomKeys, Rows
from raybatch.sources import DataSource


class MapStyleSource(DataSource):
    """What the `collate_fn` of a DataLoader makes of the samples of its data set, any object.

    The indices of a batch are any that the data set takes, and `collate_fn` gets the list of their samples; without
    batches they are one index, and it gets that sample.

    Sent to another process, this is one of `num_workers` workers. It works in the directory that the program is in, it calls `worker_init_fn(worker_id)` once, before it
    reads the first sample, `get_worker_info()` tells of it, and what it returns is for `received`.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers

    def take(self, loader: Any) -> None:
        """Take over what `loader` has now."""
        self.dataset = loader.dataset
        self.collate_fn: Callable[[Any], Any] = loader.collate_fn
        self.worker_init_fn: Callable[[int], object] | None = loader.worker_init_fn
        self.is_batched: bool = loader._auto_collation
        # What paths in the data set may be relative to.
        self.directory = os.getcwd()

    def read(self, rows: Rows, keys: RandomKeys) -> Any:
        """Return the batch of the indices in `rows`."""
        return self._collated(self._samples(rows.indices))

    def _samples(self, indices: Any) -> Any:
        """Return the samples at `indices`, read as PyTorch's fetcher reads them."""
        if not self.is_batched:
            return self.dataset[indices]
        if getattr(self.dataset, "__getitems__", None):
            return self.dataset.__getitems__(indices)
        return [self.dataset[index] for index in indices]

    def _collated(self, samples: Any) -> Any:
        return self.collate_fn(samples)

    def __reduce_ex__(self, protocol: Any) -> Any:
        from raybatch.adapters.torch.ray_tensors import packed

        try:
            return _sent, (packed(vars(self)),)
        except Exception:
            # Whoever pickles this meets the same error where it can see which part of the data set is at fault.
            return super().__reduce_ex__(protocol)


class _SentSource(MapStyleSource):
    """A `MapStyleSource` in a worker."""

    _is_begun = False

    def read(self, rows: Rows, keys: RandomKeys) -> Any:
        from raybatch.adapters.torch.ray_tensors import packed

        with self._as_worker(keys.seed) as worker_id:
            if os.getcwd() != self.directory and os.path.isdir(self.directory):
                os.chdir(self.directory)  # which another host may not have
            if not self._is_begun:
                # As in PyTorch's workers: there are as many of them as the user wants busy CPUs.
                torch.set_num_threads(1)
                _seed_generators(keys.seed + worker_id)
                if self.worker_init_fn is not None:
                    self.worker_init_fn(worker_id)
                self._is_begun = True
            return packed(super().read(rows, keys))

    def _collated(self, samples: Any) -> Any:
        if self.collate_fn is not default_collate:
            return super()._collated(samples)
        # Called in a worker, it makes tensors in new shared memory, from which they would be copied once more.
        info, worker_module._worker_info = worker_module._worker_info, None
        try:
            return super()._collated(samples)
        finally:
            worker_module._worker_info = info

    @contextmanager
    def _as_worker(self, seed: int) -> Iterator[int]:
        """Have `get_worker_info()` tell of this worker inside the block, which gets its id."""
        from raybatch.pools.ray.worker import worker_number

        # An actor that takes the place of a lost one has a new number.
        worker_id = worker_number() % self.num_workers
        # There is no public way to say so.
        worker_module._worker_info = worker_module.WorkerInfo(
            id=worker_id,
            num_workers=self.num_workers,
            seed=seed + worker_id,
            dataset=self.dataset,
        )
        try:
            yield worker_id
        finally:
            worker_module._worker_info = None


def received(batch: Any) -> Any:
    """Return the batch that a worker, in this process or another, has read."""
    from raybatch.adapters.torch.ray_tensors import Packed, unpacked

    return unpacked(batch, is_owned=True) if isinstance(batch, Packed) else batch


def _seed_generators(seed: int) -> None:
    """Seed the generators of this process as PyTorch's workers are: they are for `worker_init_fn`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _sent(state: Any) -> _SentSource:
    from raybatch.adapters.torch.ray_tensors import unpacked

    source = _SentSource.__new__(_SentSource)
    vars(source).update(unpacked(state, is_owned=False))
    return source

"""Batches of a map-style PyTorch data set, as a source that workers read."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate
from torch.utils.data._utils import worker as worker_module
from torch.utils.data._utils.collate import collate, collate_tensor_fn, default_collate_fn_map

from raybatch.foreign_randomness import ForeignRandomness
from raybatch.memory import empty_batch
from raybatch.order.rows import Rows
from raybatch.order.seeds import RandomKeys
from raybatch.sources.source import DataSource


class MapStyleSource(DataSource):
    """The batches of a DataLoader: `collate_fn` applied to the samples of its data set.

    Indices may be anything that the data set takes. `collate_fn` gets the list of a batch's
    samples, or a single sample if the loader does not batch.

    In another process, the source acts as one of `num_workers` PyTorch workers, which
    `get_worker_info()` describes. It changes to the program's directory, and calls
    `worker_init_fn(worker_id)` once before the first sample. Its batches are packed, and `received`
    unpacks them.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers

    def take(self, loader: Any) -> None:
        """Take over the current attributes of `loader`."""
        self.dataset = loader.dataset
        self.collate_fn: Callable[[Any], Any] = loader.collate_fn
        self.worker_init_fn: Callable[[int], object] | None = loader.worker_init_fn
        self.is_batched: bool = loader._auto_collation
        # Paths in the data set may be relative to it.
        self.directory = os.getcwd()

    def read(self, rows: Rows, keys: RandomKeys) -> Any:
        """Return the batch of the indices in `rows`."""
        return self._collated(self._samples(rows, keys))

    def _samples(self, rows: Rows, keys: RandomKeys) -> Any:
        """Return the samples at the indices in `rows`, read as PyTorch's fetcher reads them."""
        ((_, indices, position, _),) = rows.parts
        is_whole = not self.is_batched or getattr(self.dataset, "__getitems__", None)
        if is_whole:
            self._seed(keys, position)
            return self._whole(indices)
        samples = []
        for row, index in enumerate(indices):
            self._seed(keys, position + row)
            samples.append(self.dataset[index])
        return samples

    def _whole(self, indices: Any) -> Any:
        return self.dataset.__getitems__(indices) if self.is_batched else self.dataset[indices]

    def _seed(self, keys: RandomKeys, position: Any) -> None:
        """Do nothing: the generators of this process are the program's."""

    def _collated(self, samples: Any) -> Any:
        return self.collate_fn(samples)

    def __reduce_ex__(self, protocol: Any) -> Any:
        from raybatch.adapters.torch.ray_tensors import packed

        try:
            return _sent, (packed(vars(self)),)
        except Exception:
            # Plain pickling then raises the same error, and its caller can find the part of the
            # data set at fault.
            return super().__reduce_ex__(protocol)


class _SentSource(MapStyleSource):
    """A `MapStyleSource` in a worker."""

    _is_begun = False

    def read(self, rows: Rows, keys: RandomKeys) -> Any:
        from raybatch.adapters.torch.ray_tensors import packed

        with self._as_worker(keys.seed) as worker_id:
            if os.getcwd() != self.directory and os.path.isdir(self.directory):
                os.chdir(self.directory)  # another host may lack it
            if not self._is_begun:
                # One thread for each worker, as in PyTorch: the user chose with `num_workers` how
                # many CPUs are busy.
                torch.set_num_threads(1)
                _seed_generators(keys.seed + worker_id)  # for the draws of `worker_init_fn`
                if self.worker_init_fn is not None:
                    self.worker_init_fn(worker_id)
                self._foreign = ForeignRandomness((self.dataset, self.collate_fn))
                self._is_begun = True
            with self._foreign.seeding() as self._seed_all:
                return packed(super().read(rows, keys))

    def _seed(self, keys: RandomKeys, position: Any) -> None:
        """Seed the generators for the sample at `position` of the epoch, alike in every worker."""
        self._seed_all(keys.of_sample(int(position)))

    def _collated(self, samples: Any) -> Any:
        if self.collate_fn is not default_collate:
            return super()._collated(samples)
        # In a worker, `default_collate` puts tensors into new shared memory, from which they would
        # be copied again.
        info, worker_module._worker_info = worker_module._worker_info, None
        try:
            return collate(
                samples, collate_fn_map={**default_collate_fn_map, torch.Tensor: _stacked}
            )
        finally:
            worker_module._worker_info = info

    @contextmanager
    def _as_worker(self, seed: int) -> Iterator[int]:
        """In the block, let `get_worker_info()` describe this worker. Yields the worker's id."""
        from raybatch.pools.ray.worker import worker_number

        # An actor that replaces a lost one has a new number.
        worker_id = worker_number() % self.num_workers
        # There is no public way to set it.
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


def _stacked(tensors: Any, *, collate_fn_map: Any = None) -> Any:
    """Return `tensors` stacked as `default_collate` does, in memory that the worker reuses."""
    first = tensors[0]
    is_plain = type(first) is torch.Tensor and first.layout is torch.strided
    if not is_plain or first.is_nested or first.requires_grad or not first.nbytes:
        return collate_tensor_fn(tensors, collate_fn_map=collate_fn_map)
    memory = torch.from_numpy(empty_batch((len(tensors) * first.nbytes,), np.uint8))
    return torch.stack(tensors, 0, out=memory.view(first.dtype).view(len(tensors), *first.shape))


def received(batch: Any) -> Any:
    """Return the batch that a worker, in this process or another, has read."""
    from raybatch.adapters.torch.ray_tensors import Packed, unpacked

    return unpacked(batch, is_owned=True) if isinstance(batch, Packed) else batch


def _seed_generators(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # without the states of GPUs, which take time


def _sent(state: Any) -> _SentSource:
    from raybatch.adapters.torch.ray_tensors import unpacked

    source = _SentSource.__new__(_SentSource)
    vars(source).update(unpacked(state, is_owned=False))
    return source

"""Batches as PyTorch tensors, on the CPU or a CUDA device."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from raybatch.adapters.ahead import AheadLoader, as_it_is, map_leaves
from raybatch.loader import Loader
from raybatch.sources import Batch

try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    raise ImportError(
        "raybatch.adapters.torch needs PyTorch: pip install 'raybatch[torch]'"
    ) from error


class LoaderDataset(AheadLoader, IterableDataset):  # type: ignore[misc] # torch is not there for all who check types
    """The batches of `loader` as tensors; each iteration is one epoch.

    It is a loop's iterable as it is, and the data set of a `DataLoader(dataset, batch_size=None)`, a
    `StatefulDataLoader` or what Lightning and Accelerate make of them: its `state_dict` is that of the loader, and
    counts what the loop has received. RuntimeError in a DataLoader with `num_workers` above 0: the loader has workers
    of its own. There is no `set_epoch`, since the loader counts its epochs itself, and goes on in that of its state.

    Arrays become tensors, in tuples, lists and dicts too; what no tensor can hold, as strings and Pillow images, stays
    as it is. On the CPU (`device=None`) a tensor shares the memory of its array, and must not be written to if that was
    read-only, as arrays from Ray actors are: it would change what others read. With `writable` those are copied; with
    `pin_memory` all are, into page-locked memory. To a CUDA `device` batches are copied from pinned memory on a stream
    of their own, one batch ahead of the loop. To any other device they are moved as they come.
    """

    def __init__(
        self,
        loader: Loader,
        device: Any = None,
        pin_memory: bool = False,
        writable: bool = False,
    ) -> None:
        device = torch.device("cpu" if device is None else device)
        if device.type == "cuda":
            copies = _CudaCopies(device)
            super().__init__(loader, copies.begin, copies.hand_over, ahead=1)
        else:
            to_tensor = functools.partial(_tensor_on, device, pin_memory, writable)
            super().__init__(loader, functools.partial(map_leaves, to_tensor), as_it_is, ahead=0)

    def __iter__(self) -> Iterator[Any]:
        if get_worker_info() is not None:
            raise RuntimeError(
                "a LoaderDataset has workers of its own, those of its loader's pool: use "
                "DataLoader(dataset, batch_size=None, num_workers=0)"
            )
        return super().__iter__()


def to_torch(
    loader: Loader, device: Any = None, pin_memory: bool = False, writable: bool = False
) -> LoaderDataset:
    """Return the epochs of `loader` with tensors in place of arrays; see `LoaderDataset`.

    for x, y in to_torch(loader, device="cuda"):
        ...
    """
    return LoaderDataset(loader, device, pin_memory, writable)


class _CudaCopies:
    """Copies to a CUDA device that run beside what the loop computes there."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None

    def begin(self, batch: Batch) -> tuple[Any, torch.cuda.Event]:
        """Return what will be the batch on the device, and what happens when it is there."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        with torch.cuda.stream(self._stream):
            copies = map_leaves(self._copied, batch)
        return copies, self._stream.record_event()

    def hand_over(self, begun: tuple[Any, torch.cuda.Event]) -> Any:
        """Return the batch, for use on the current stream, which waits for it where the loop need not."""
        copies, arrived = begun
        current = torch.cuda.current_stream(self._device)
        current.wait_event(arrived)
        # Its memory belongs to the stream that it was made on, which may not reuse it before this one is done with it.
        return map_leaves(functools.partial(_recorded_on, current), copies)

    def _copied(self, leaf: Any) -> Any:
        tensor = _tensor_on(torch.device("cpu"), True, False, leaf)
        is_tensor = isinstance(tensor, torch.Tensor)
        return tensor.to(self._device, non_blocking=True) if is_tensor else tensor


def _recorded_on(stream: torch.cuda.Stream, leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        leaf.record_stream(stream)
    return leaf


def _tensor_on(device: torch.device, pin_memory: bool, writable: bool, leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray) and _is_tensor_dtype(leaf.dtype):
        leaf = torch.from_numpy(_shareable(leaf, writable))
    if not isinstance(leaf, torch.Tensor):
        return leaf
    return (leaf.pin_memory() if pin_memory else leaf).to(device)


@functools.cache
def _is_tensor_dtype(dtype: np.dtype[Any]) -> bool:
    try:
        torch.from_numpy(np.empty(0, dtype.newbyteorder("=")))
    except TypeError:
        return False
    return True


def _shareable(array: Any, writable: bool) -> Any:
    """Return `array`, or a copy where torch cannot share its memory or it may not be written to but is to be."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if any(stride < 0 for stride in array.strides) or (writable and not array.flags.writeable):
        return array.copy()
    return array if array.flags.writeable else np.asarray(_SameMemory(array))


class _SameMemory:
    """Stands for the memory of a read-only array as if it were not: torch warns of those that are, in the process."""

    def __init__(self, array: Any) -> None:
        self._array = array  # which owns the memory
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}

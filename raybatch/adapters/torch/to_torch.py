"""Batches as PyTorch tensors, on the CPU or a CUDA device."""

from __future__ import annotations

import functools
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from raybatch.adapters.ahead import AheadLoader, as_it_is
from raybatch.adapters.normalize import ImageLayout
from raybatch.adapters.torch.writable_memory import writable_view
from raybatch.image.pixels import UnfinishedImages
from raybatch.loader import Loader
from raybatch.memory import ReusedMemory
from raybatch.ragged import RaggedArray
from raybatch.sources import Batch
from raybatch.structure import map_arrays


class LoaderDataset(AheadLoader, IterableDataset):  # type: ignore[misc] # torch is not there for all who check types
    """The batches of `loader` as tensors; each iteration is one epoch.

    It is a loop's iterable as it is, and the data set of a `DataLoader(dataset, batch_size=None)`, a
    `StatefulDataLoader` or what Lightning and Accelerate make of them: its `state_dict` is that of the loader, and
    counts what the loop has received. RuntimeError in a DataLoader with `num_workers` above 0: the loader has workers
    of its own; TypeError in one with a batch size: these are batches.

    Arrays become tensors, in tuples, lists and dicts too; what no tensor can hold, as strings and Pillow images, stays
    as it is. A `RaggedArray` becomes a nested tensor of the jagged layout, `(n, j, *inner_shape)`, or with `ragged="pair"`
    `RaggedTensors` of its values and offsets. On the CPU (`device=None`) a tensor shares the memory of its array, and must not be written to if that was
    read-only, as arrays from Ray actors are: it would change what others read. With `writable` those are copied; with
    `pin_memory` all are, into page-locked memory. To a CUDA `device` batches are copied from pinned memory on a stream
    of their own, one batch ahead of the loop. To any other device they are moved as they come.

    With `normalize=(mean, std)` images stay bytes, a quarter of the memory, up to the device, and become float32 there: those of
    a `PixelLayout` of that mean and std, in torchvision's order of `ToTensor` and `Normalize`. On CUDA that runs on the stream of the
    copy. `channels_first` makes them `(n, C, H, W)`, contiguous, with `normalize` or without, when they stay bytes. Under autocast
    float32 is what a model expects. Images are all uint8 arrays `(n, H, W, C)` of a batch; in a batch without any, its first member, if
    that is uint8 `(n, H, W)`. All else stays as it is, also masks `(n, H, W)` and labels. ValueError at the first batch that has no
    images, and for another number of channels than mean and std have.
    """

    def __init__(
        self,
        loader: Loader,
        device: Any = None,
        pin_memory: bool = False,
        writable: bool = False,
        normalize: Any = None,
        channels_first: bool = False,
        ragged: str = "nested",
    ) -> None:
        if ragged not in ("nested", "pair"):
            raise ValueError(f'ragged must be "nested" or "pair", not {ragged!r}')
        self.ragged = ragged
        device = torch.device("cpu" if device is None else device)
        images = ImageLayout.asked_for(normalize, channels_first)
        if device.type == "cuda":
            copies = _CudaCopies(device, images, ragged)
            super().__init__(loader, copies.begin, copies.hand_over, ahead=1)
        else:
            to_tensor = functools.partial(_tensor_on, device, pin_memory, writable)
            to_tensor = functools.partial(_ragged_or_tensor, ragged, to_tensor)
            super().__init__(loader, _preparing(to_tensor, images, device), as_it_is, ahead=0)

    def __iter__(self) -> Iterator[Any]:
        if get_worker_info() is not None:
            raise RuntimeError(
                "a LoaderDataset has workers of its own, those of its loader's pool: use "
                "DataLoader(dataset, batch_size=None, num_workers=0)"
            )
        # A DataLoader does not say what it will do with what it gets, but what iterates for it knows.
        caller = sys._getframe(1).f_locals.get("self")
        if getattr(caller, "auto_collation", False):
            raise TypeError(
                "the DataLoader would join batches of a LoaderDataset to batches of batches: use "
                "DataLoader(dataset, batch_size=None), and give the loader the batch size; or, where samples are wanted, as "
                "by Hugging Face's Trainer, SampleDataset(dataset)"
            )
        return super().__iter__()


def to_torch(
    loader: Loader,
    device: Any = None,
    pin_memory: bool = False,
    writable: bool = False,
    normalize: Any = None,
    channels_first: bool = False,
    ragged: str = "nested",
) -> LoaderDataset:
    """Return the epochs of `loader` with tensors in place of arrays; see `LoaderDataset`.

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for x, y in to_torch(loader, device="cuda", normalize=(mean, std), channels_first=True):
        ...
    """
    return LoaderDataset(loader, device, pin_memory, writable, normalize, channels_first, ragged)


class RaggedTensors(NamedTuple):
    """A `RaggedArray` as tensors: row i is `values[offsets[i] : offsets[i + 1]]`."""

    values: torch.Tensor
    offsets: torch.Tensor


class _CudaCopies:
    """Copies to a CUDA device that run beside what the loop computes there."""

    def __init__(self, device: torch.device, images: ImageLayout | None, ragged: str) -> None:
        self._device = device
        to_tensor = functools.partial(
            _ragged_or_tensor, ragged, functools.partial(_copied_to, device)
        )
        self._prepare = _preparing(to_tensor, images, device)
        self._stream: torch.cuda.Stream | None = None

    def begin(self, batch: Batch) -> tuple[Any, torch.cuda.Event]:
        """Return what will be the batch on the device, and what happens when it is there."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        with torch.cuda.stream(self._stream):
            copies = self._prepare(batch)
        return copies, self._stream.record_event()

    def hand_over(self, begun: tuple[Any, torch.cuda.Event]) -> Any:
        """Return the batch, for use on the current stream, which waits for it where the loop need not."""
        copies, arrived = begun
        current = torch.cuda.current_stream(self._device)
        current.wait_event(arrived)
        # Its memory belongs to the stream that it was made on, which may not reuse it before this one is done with it.
        return map_arrays(functools.partial(_recorded_on, current), copies)


def _preparing(
    to_tensor: Callable[[Any], Any], images: ImageLayout | None, device: torch.device
) -> Callable[[Batch], Any]:
    """Return what puts tensors in place of the arrays of a batch, and its images in the layout that is asked for."""
    if images is None:
        return functools.partial(map_arrays, to_tensor)
    of_images = _CpuImages if device.type == "cpu" else _DeviceImages
    return functools.partial(images.map_batch, of_images(images, to_tensor), to_tensor)


class _CpuImages:
    """Tensors of the images of a batch, laid out on the CPU in memory that is used again when a tensor is gone."""

    def __init__(self, images: ImageLayout, to_tensor: Callable[[Any], Any]) -> None:
        self._images = images
        self._to_tensor = to_tensor
        self._memory: defaultdict[int, ReusedMemory] = defaultdict(ReusedMemory)

    def __call__(self, array: Any, number: int) -> Any:
        images = UnfinishedImages(array, self._images.bound(array))
        return self._to_tensor(images.finished(self._memory[number]))


class _DeviceImages:
    """Tensors of the images of a batch, laid out on the device that `to_tensor` takes their bytes to."""

    def __init__(self, images: ImageLayout, to_tensor: Callable[[Any], Any]) -> None:
        self._images = images
        self._to_tensor = to_tensor
        self._numbers: torch.Tensor | None = None

    def __call__(self, array: Any, _: int) -> Any:
        self._images.bound(array)  # refuses what has other channels
        pixels = self._to_tensor(array)
        is_moved = self._images.moves_channels(array)
        pixels = pixels.permute(0, 3, 1, 2) if is_moved else pixels
        if not self._images.is_float:
            return pixels.contiguous()
        # Made once: a copy of numbers to a device waits for all that its stream has to do.
        if self._numbers is None:
            self._numbers = torch.tensor(self._images.numbers, device=pixels.device)
        most, mean, std = self._numbers.reshape((3, -1, 1, 1) if is_moved else (3, -1))
        # In the order of torchvision's ToTensor and Normalize, so that each value is rounded as theirs is. 255 is a tensor too: by a
        # plain number CUDA does not divide, it multiplies by the reciprocal, and where x / 255 and the mean nearly cancel, an error
        # of the last place becomes one of some hundred places.
        floats = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        return floats.div_(most).sub_(mean).div_(std)


def _copied_to(device: torch.device, leaf: Any) -> Any:
    # torch keeps pinned memory, and gives it out again when the copy from it has arrived.
    tensor = _tensor_on(torch.device("cpu"), True, False, leaf)
    is_tensor = isinstance(tensor, torch.Tensor)
    return tensor.to(device, non_blocking=True) if is_tensor else tensor


def _recorded_on(stream: torch.cuda.Stream, leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        for memory in (leaf.values(), leaf.offsets()) if leaf.is_nested else (leaf,):
            memory.record_stream(stream)
    return leaf


def _ragged_or_tensor(form: str, to_tensor: Callable[[Any], Any], leaf: Any) -> Any:
    if not isinstance(leaf, RaggedArray):
        return to_tensor(leaf)
    tensors = RaggedTensors(to_tensor(leaf.values), to_tensor(leaf.offsets))
    if not isinstance(tensors.values, torch.Tensor):
        return leaf
    return tensors if form == "pair" else torch.nested.nested_tensor_from_jagged(*tensors)


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
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides) or (writable and not array.flags.writeable):
        return array.copy()
    return writable_view(array)

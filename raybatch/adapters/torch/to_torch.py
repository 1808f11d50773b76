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
from raybatch.loader.loader import Loader
from raybatch.memory import ReusedMemory
from raybatch.ragged import RaggedArray
from raybatch.sources.batch import Batch
from raybatch.structure import map_arrays


class LoaderDataset(AheadLoader, IterableDataset):  # type: ignore[misc] # torch is not there for all who check types
    """The batches of `loader` as tensors; each iteration is one epoch.

    It serves a loop directly, and as the data set of `DataLoader(dataset, batch_size=None)`, of
    `StatefulDataLoader`, and of Lightning and Accelerate. Its `state_dict` is the loader's, and
    counts the batches that the loop has received. A DataLoader with `num_workers` above 0 is a
    RuntimeError, since the loader has workers of its own; one with a batch size is a TypeError,
    since these are batches.

    Arrays become tensors, in tuples, lists and dicts too. Strings, Pillow images and other objects
    that no tensor can hold stay as they are. A `RaggedArray` becomes a nested tensor with the
    jagged layout, `(n, j, *inner_shape)`, or with `ragged="pair"` the `RaggedTensors` of its values
    and offsets.

    On the CPU (`device=None`) a tensor shares the memory of its array. If that is read-only, as
    arrays from Ray actors are, do not write to the tensor: others read the same memory. `writable`
    copies such arrays; `pin_memory` copies all, into page-locked memory. To a CUDA `device` batches
    are copied from pinned memory on a stream of their own, one batch ahead of the loop. To any
    other device they are moved as they come.

    With `normalize=(mean, std)` images stay bytes, a quarter of the memory, up to the device. There
    they become float32, equal to a `PixelLayout` with that mean and std, in torchvision's order of
    `ToTensor` and `Normalize`. On CUDA that runs on the stream of the copy. `channels_first` makes
    images `(n, C, H, W)`, contiguous, normalised or not. Under autocast, float32 is what a model
    expects.

    All uint8 arrays `(n, H, W, C)` of a batch are images; in a batch without any, the first member
    is, if it is uint8 `(n, H, W)`. Everything else stays as it is, such as masks `(n, H, W)` and
    labels. ValueError at the first batch without images, and for another number of channels than
    mean and std have.
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
                "a LoaderDataset already has workers, in its loader's pool: use "
                "DataLoader(dataset, batch_size=None, num_workers=0)"
            )
        # A DataLoader does not say how it will use this, but the object that iterates knows.
        caller = sys._getframe(1).f_locals.get("self")
        if getattr(caller, "auto_collation", False):
            raise TypeError(
                "the DataLoader would collate batches of a LoaderDataset into batches of batches."
                " Use DataLoader(dataset, batch_size=None), and give the loader the batch size. If"
                " samples are needed, as for Hugging Face's Trainer, use SampleDataset(dataset)"
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
    """Copies to a CUDA device that run beside the loop's own work there."""

    def __init__(self, device: torch.device, images: ImageLayout | None, ragged: str) -> None:
        self._device = device
        to_tensor = functools.partial(
            _ragged_or_tensor, ragged, functools.partial(_copied_to, device)
        )
        self._prepare = _preparing(to_tensor, images, device)
        self._stream: torch.cuda.Stream | None = None

    def begin(self, batch: Batch) -> tuple[Any, torch.cuda.Event]:
        """Return the batch as it will be on the device, and the event of its arrival."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        with torch.cuda.stream(self._stream):
            copies = self._prepare(batch)
        return copies, self._stream.record_event()

    def hand_over(self, begun: tuple[Any, torch.cuda.Event]) -> Any:
        """Return the batch for use on the current stream, which waits for it; the loop does not."""
        copies, arrived = begun
        current = torch.cuda.current_stream(self._device)
        current.wait_event(arrived)
        # The memory belongs to the stream that made it, and must not be reused there before this
        # stream is done.
        return map_arrays(functools.partial(_recorded_on, current), copies)


def _preparing(
    to_tensor: Callable[[Any], Any], images: ImageLayout | None, device: torch.device
) -> Callable[[Batch], Any]:
    """Return a function that makes tensors of a batch, with its images in the given layout."""
    if images is None:
        return functools.partial(map_arrays, to_tensor)
    of_images = _CpuImages if device.type == "cpu" else _DeviceImages
    return functools.partial(images.map_batch, of_images(images, to_tensor), to_tensor)


class _CpuImages:
    """Tensors of the images of a batch, laid out on the CPU in memory that is reused."""

    def __init__(self, images: ImageLayout, to_tensor: Callable[[Any], Any]) -> None:
        self._images = images
        self._to_tensor = to_tensor
        self._memory: defaultdict[int, ReusedMemory] = defaultdict(ReusedMemory)

    def __call__(self, array: Any, number: int) -> Any:
        images = UnfinishedImages(array, self._images.bound(array))
        return self._to_tensor(images.finished(self._memory[number]))


class _DeviceImages:
    """Tensors of the images of a batch, laid out on the device that `to_tensor` copies to."""

    def __init__(self, images: ImageLayout, to_tensor: Callable[[Any], Any]) -> None:
        self._images = images
        self._to_tensor = to_tensor
        self._numbers: torch.Tensor | None = None

    def __call__(self, array: Any, _: int) -> Any:
        self._images.bound(array)  # raises for another number of channels
        pixels = self._to_tensor(array)
        is_moved = self._images.moves_channels(array)
        pixels = pixels.permute(0, 3, 1, 2) if is_moved else pixels
        if not self._images.is_float:
            return pixels.contiguous()
        # Made only once, because copying numbers to a device waits for all work of its stream.
        if self._numbers is None:
            self._numbers = torch.tensor(self._images.numbers, device=pixels.device)
        most, mean, std = self._numbers.reshape((3, -1, 1, 1) if is_moved else (3, -1))
        # Computed in the order of torchvision's ToTensor and Normalize, so that each value is
        # rounded alike. 255 is a tensor too: CUDA replaces a division by a plain number by a
        # multiplication with its reciprocal. Where x / 255 and the mean nearly cancel, an error in
        # the last place would become one of some hundred places.
        floats = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        return floats.div_(most).sub_(mean).div_(std)


def _copied_to(device: torch.device, leaf: Any) -> Any:
    # torch keeps pinned memory, and reuses it once the copy from it has arrived.
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
    """Return `array`, or a copy if torch cannot share its memory, or if it must become writable."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides) or (writable and not array.flags.writeable):
        return array.copy()
    return writable_view(array)

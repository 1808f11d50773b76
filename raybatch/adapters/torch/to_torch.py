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


class LoaderDataset(AheadLoader, IterableDataset):  # type: ignore[misc] # torch may be missing where types are checked
    """The batches of `loader` as tensors; each iteration is one epoch.

    Use it in a loop, in `DataLoader(dataset, batch_size=None)` or `StatefulDataLoader`, or with
    Lightning and Accelerate. Its `state_dict` is the loader's, and
    counts the batches that the loop has received. In a DataLoader with `num_workers` above 0 it
    raises RuntimeError, since the loader has workers of its own. In a DataLoader with a batch size
    it raises TypeError, since these are batches already.

    Arrays become tensors, in tuples, lists and dicts too. Strings, Pillow images and other objects
    that no tensor can hold stay as they are.

    Args:
        loader: The loader.
        device: The device of the tensors. On the CPU, the default, a tensor shares the memory of
            its array. If that memory is read-only, as for arrays from Ray actors, do not write to
            the tensor: others read the same memory. Batches for a CUDA device are copied from
            pinned memory on a stream of their own, one batch ahead of the loop. For any other
            device, a batch is copied when the loop asks for it.
        pin_memory: Whether to copy all arrays into page-locked memory.
        writable: Whether to copy read-only arrays, so that their tensors may be written to.
        normalize: (mean, std) for images, or None. Images stay bytes, a quarter of the memory, up
            to the device. There they become float32, equal to those of a `PixelLayout` with that
            mean and std, and computed in the order of torchvision's `ToTensor` and `Normalize`. On
            CUDA that runs on the stream of the copies. A model under autocast also expects float32.
        channels_first: Whether images become `(n, C, H, W)`, contiguous, normalised or not.
        ragged: What a `RaggedArray` becomes: "nested" is a nested tensor with the jagged layout,
            `(n, j, *inner_shape)`; "pair" is the `RaggedTensors` of its values and offsets.

    For `normalize` and `channels_first`, all uint8 arrays `(n, H, W, C)` of a batch are images. If
    there is none, a first member that is uint8 `(n, H, W)` holds grey images. Everything else stays
    as it is, such as masks `(n, H, W)` and labels. ValueError at the first batch without images,
    and if mean and std have another number of channels.
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
        # A DataLoader does not tell its data set whether it will collate, but the caller of `iter`
        # knows.
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
    """Return the epochs of `loader` as tensors; the arguments are those of `LoaderDataset`.

    For images that become floats on the device:

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
    """Copies to a CUDA device, which run beside the loop's own work there."""

    def __init__(self, device: torch.device, images: ImageLayout | None, ragged: str) -> None:
        self._device = device
        to_tensor = functools.partial(
            _ragged_or_tensor, ragged, functools.partial(_copied_to, device)
        )
        self._prepare = _preparing(to_tensor, images, device)
        self._stream: torch.cuda.Stream | None = None

    def begin(self, batch: Batch) -> tuple[Any, torch.cuda.Event]:
        """Begin to copy a batch. Return the copies, and the event that marks their arrival."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        with torch.cuda.stream(self._stream):
            copies = self._prepare(batch)
        return copies, self._stream.record_event()

    def hand_over(self, begun: tuple[Any, torch.cuda.Event]) -> Any:
        """Return the batch. The current stream waits for its arrival; the loop does not wait."""
        copies, arrived = begun
        current = torch.cuda.current_stream(self._device)
        current.wait_event(arrived)
        # The memory belongs to the stream that made it. It must not be reused there before the
        # current stream has finished with it.
        return map_arrays(functools.partial(_recorded_on, current), copies)


def _preparing(
    to_tensor: Callable[[Any], Any], images: ImageLayout | None, device: torch.device
) -> Callable[[Batch], Any]:
    """Return the function that turns a batch into tensors, with its images in the given layout."""
    if images is None:
        return functools.partial(map_arrays, to_tensor)
    of_images = _CpuImages if device.type == "cpu" else _DeviceImages
    return functools.partial(images.map_batch, of_images(images, to_tensor), to_tensor)


class _CpuImages:
    """Lays out images on the CPU, in memory that is reused, and turns them into tensors."""

    def __init__(self, images: ImageLayout, to_tensor: Callable[[Any], Any]) -> None:
        self._images = images
        self._to_tensor = to_tensor
        self._memory: defaultdict[int, ReusedMemory] = defaultdict(ReusedMemory)

    def __call__(self, array: Any, number: int) -> Any:
        images = UnfinishedImages(array, self._images.bound(array))
        return self._to_tensor(images.finished(self._memory[number]))


class _DeviceImages:
    """Turns images into tensors, and lays them out on the device that `to_tensor` copies to."""

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
        # Made only once, because copying numbers to a device waits for all work on its stream.
        if self._numbers is None:
            self._numbers = torch.tensor(self._images.numbers, device=pixels.device)
        most, mean, std = self._numbers.reshape((3, -1, 1, 1) if is_moved else (3, -1))
        # The order of operations is that of torchvision's ToTensor and Normalize, so values are
        # rounded alike. 255 is a tensor, because CUDA replaces a division by a plain number with a
        # multiplication by its reciprocal. Where x / 255 nearly equals the mean, an error of one
        # unit in the last place would grow to some hundred units.
        floats = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        return floats.div_(most).sub_(mean).div_(std)


def _copied_to(device: torch.device, leaf: Any) -> Any:
    # torch keeps pinned memory, and reuses it once the copy from it is complete.
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

"""Batches as JAX arrays, on one device or sharded over several."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from raybatch.adapters.ahead import AheadLoader, as_it_is
from raybatch.adapters.normalize import ImageLayout
from raybatch.loader import Loader
from raybatch.structure import map_arrays

try:
    import jax
except ImportError as error:
    raise ImportError("raybatch.adapters.jax needs JAX: pip install 'raybatch[jax]'") from error


def to_jax(
    loader: Loader,
    sharding: Any = None,
    prefetch: int = 2,
    normalize: Any = None,
    channels_first: bool = False,
) -> AheadLoader:
    """Return the epochs of `loader` with JAX arrays in place of arrays, put on their way `prefetch` batches ahead.

    `sharding` is a `jax.sharding.Sharding`, by which each array is spread over devices, or a device; None stands for
    JAX's default device. In a program of several processes, each with a loader of its own rank, an array is the part of
    this process, and the JAX array the global one. What JAX has no dtype for, as strings, stays as it is.

    With `normalize=(mean, std)` images stay bytes up to their device, and become float32 there: those of a `PixelLayout` of that mean
    and std, within one unit in the last place. `channels_first` makes them `(n, C, H, W)`. Images are all uint8 arrays `(n, H, W, C)` of
    a batch; in a batch without any, its first member, if that is uint8 `(n, H, W)`. ValueError at the first batch that has no images,
    and for another number of channels than mean and std have.

    What it returns is iterated once an epoch, and has `len()`, `state_dict()` and `load_state_dict()` of the loader; a
    state counts what the loop has received. ValueError for a batch that `sharding` cannot divide: with
    `last_batch="pad"` or "drop" all are full.

        mesh = jax.make_mesh((jax.device_count(),), ("batch",))
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
        for x, y in to_jax(loader, sharding):
            ...
    """
    if prefetch < 0:
        raise ValueError(f"prefetch must be 0 or more, not {prefetch}")
    if isinstance(sharding, jax.sharding.Sharding) and not sharding.is_fully_addressable:
        put: Callable[[Any], Any] = functools.partial(
            jax.make_array_from_process_local_data, sharding
        )
    else:
        put = functools.partial(jax.device_put, device=sharding)
    on_device = functools.partial(_on_device, put)
    images = ImageLayout.asked_for(normalize, channels_first)
    if images is None:
        prepare = functools.partial(map_arrays, on_device)
    else:
        prepare = functools.partial(
            images.map_batch, functools.partial(_laid_out, images, on_device), on_device
        )
    return AheadLoader(loader, prepare, as_it_is, prefetch)


def _laid_out(images: ImageLayout, on_device: Callable[[Any], Any], array: Any, _: int) -> Any:
    images.bound(array)  # refuses what has other channels
    pixels, is_moved = on_device(array), images.moves_channels(array)
    pixels = _channels_first(pixels) if is_moved else pixels
    if not images.is_float:
        return pixels
    _, mean, std = images.numbers.reshape((3, -1, 1, 1) if is_moved else (3, -1))
    return _normalized(pixels, mean, 1 / std)


# 1 / 255 in two parts, the first of so few bits that a byte times it is exact: the sum of both products is byte / 255, rounded once.
_HIGH = np.float32(round(2**22 / 255) / 2**22)
_LOW = np.float32(1 / 255 - float(_HIGH))


@jax.jit  # type: ignore[untyped-decorator]
def _normalized(pixels: Any, mean: Any, factor: Any) -> Any:
    """Return `(pixels / 255 - mean) * factor` as float32."""
    # Without a division: XLA would multiply by the reciprocal, or divide inexactly on a GPU, and an error of the last place is one of
    # some hundred places where byte / 255 and the mean nearly cancel. That of the factor comes last, and stays one.
    values = pixels.astype(np.float32)
    return (values * _HIGH + values * _LOW - mean) * factor


@jax.jit  # type: ignore[untyped-decorator]
def _channels_first(pixels: Any) -> Any:
    return pixels.transpose(0, 3, 1, 2)


def _on_device(put: Callable[[Any], Any], leaf: Any) -> Any:
    is_array = isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc"
    return put(leaf) if is_array else leaf

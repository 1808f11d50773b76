"""Batches as JAX arrays, on one device or sharded over several."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from raybatch.adapters.ahead import AheadLoader, as_it_is
from raybatch.adapters.normalize import ImageLayout
from raybatch.loader.loader import Loader
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
    """Return the epochs of `loader` as JAX arrays, copied ahead of the loop.

    Args:
        loader: The loader. In a program of several processes, each has a loader of its own rank.
        sharding: A `jax.sharding.Sharding` that spreads each array over devices, or a device. None
            is JAX's default device.
        prefetch: The number of batches that are copied ahead.
        normalize: (mean, std), or None. Images stay bytes up to their device, and become float32
            there, equal to those of a `PixelLayout` with that mean and std within one unit in the
            last place.
        channels_first: Whether images become `(n, C, H, W)`.

    In a program of several processes, the batches of all ranks together are one global JAX array.
    Arrays without a JAX dtype, such as strings, stay as they are.

    For `normalize` and `channels_first`, all uint8 arrays `(n, H, W, C)` of a batch are images. If
    there is none, a first member that is uint8 `(n, H, W)` holds grey images. ValueError at the
    first batch without images, and if mean and std have another number of channels.

    The result is iterated once for each epoch, and has the loader's `len()`, `state_dict()` and
    `load_state_dict()`. A state counts the batches that the loop has received. ValueError for a
    batch that `sharding` cannot divide; with `last_batch="pad"` or "drop" all batches are full.

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
    images.bound(array)  # raises for another number of channels
    pixels, is_moved = on_device(array), images.moves_channels(array)
    pixels = _channels_first(pixels) if is_moved else pixels
    if not images.is_float:
        return pixels
    _, mean, std = images.numbers.reshape((3, -1, 1, 1) if is_moved else (3, -1))
    return _normalized(pixels, mean, 1 / std)


# 1 / 255 in two parts. The first has few enough bits that its product with a byte is exact. So the
# sum of both products is byte / 255, rounded once.
_HIGH = np.float32(round(2**22 / 255) / 2**22)
_LOW = np.float32(1 / 255 - float(_HIGH))


@jax.jit  # type: ignore[untyped-decorator]
def _normalized(pixels: Any, mean: Any, factor: Any) -> Any:
    """Return `(pixels / 255 - mean) * factor` as float32."""
    # No division: XLA would multiply by the reciprocal instead, or divide inexactly on a GPU. Where
    # byte / 255 nearly equals the mean, an error of one unit in the last place would grow to some
    # hundred units. The factor comes last, so its error stays at one unit.
    values = pixels.astype(np.float32)
    return (values * _HIGH + values * _LOW - mean) * factor


@jax.jit  # type: ignore[untyped-decorator]
def _channels_first(pixels: Any) -> Any:
    return pixels.transpose(0, 3, 1, 2)


def _on_device(put: Callable[[Any], Any], leaf: Any) -> Any:
    is_array = isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc"
    return put(leaf) if is_array else leaf

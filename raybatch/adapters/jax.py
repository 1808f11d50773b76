"""Batches as JAX arrays, on one device or sharded over several."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from raybatch.adapters.ahead import AheadLoader, as_it_is, map_leaves
from raybatch.loader import Loader

try:
    import jax
except ImportError as error:
    raise ImportError("raybatch.adapters.jax needs JAX: pip install 'raybatch[jax]'") from error


def to_jax(loader: Loader, sharding: Any = None, prefetch: int = 2) -> AheadLoader:
    """Return the epochs of `loader` with JAX arrays in place of arrays, put on their way `prefetch` batches ahead.

    `sharding` is a `jax.sharding.Sharding`, by which each array is spread over devices, or a device; None stands for
    JAX's default device. In a program of several processes, each with a loader of its own rank, an array is the part of
    this process, and the JAX array the global one. What JAX has no dtype for, as strings, stays as it is.

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
    prepare = functools.partial(map_leaves, functools.partial(_on_device, put))
    return AheadLoader(loader, prepare, as_it_is, prefetch)


def _on_device(put: Callable[[Any], Any], leaf: Any) -> Any:
    is_array = isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc"
    return put(leaf) if is_array else leaf

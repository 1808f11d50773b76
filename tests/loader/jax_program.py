"""Checks of the JAX adapter, for a process of their own: JAX forbids its process to fork."""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np
import pytest

import raybatch as rb
from raybatch.adapters.jax import to_jax


def fresh(**options: Any) -> rb.Loader:
    source = rb.ArrayDataSource([np.arange(23), np.arange(46, dtype=np.float32).reshape(23, 2)])
    return rb.Loader(source, 4, shuffle=3, **options)


def values(batches: Any) -> list[Any]:
    return [tuple(np.asarray(array).tolist() for array in batch) for batch in batches]


def each_iteration_is_an_epoch_of_the_loader() -> None:
    for prefetch in (0, 2):
        arrays, plain = to_jax(fresh(), prefetch=prefetch), fresh()
        assert len(arrays) == 6
        for _ in range(2):
            batches = list(arrays)
            assert all(isinstance(member, jax.Array) for batch in batches for member in batch)
            assert values(batches) == values(plain)


def from_every_step_the_rest_follows() -> None:
    whole, loader = values(fresh()), to_jax(fresh())
    for count, _ in enumerate(loader, start=1):
        resumed = to_jax(fresh(), prefetch=1)
        resumed.load_state_dict(json.loads(json.dumps(loader.state_dict())))
        assert count == 6 or values(resumed) == whole[count:]


def arrays_of_actors_outlive_the_loader() -> None:
    rows = np.arange(400_000, dtype=np.int32).reshape(100, 4000)
    with rb.Loader(rb.ArrayDataSource([rows]), 50, pool=rb.RayActorPool(1)) as loader:
        batches = [x for (x,) in to_jax(loader)]
    assert np.array_equal(np.concatenate(batches), rows)


def images_are_normalised_on_their_device() -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 5, 6, 3), np.uint8)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    mesh = jax.make_mesh((4,), ("batch",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    for where in (None, sharding):
        loader = rb.Loader(rb.ArrayDataSource([images, np.arange(8)]), 8)
        ((x, y),) = to_jax(loader, where, normalize=(mean, std), channels_first=True)
        wanted = ((images.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
        assert x.shape == wanted.shape
        assert np.asarray(y).tolist() == list(range(8))
        np.testing.assert_array_max_ulp(np.asarray(x), wanted, 1)


def batches_are_sharded_over_devices() -> None:
    mesh = jax.make_mesh((4,), ("batch",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    batches = []
    for x, y, valid in to_jax(fresh(last_batch="pad"), sharding):
        assert x.sharding == y.sharding == sharding
        assert [shard.data.shape for shard in y.addressable_shards] == [(1, 2)] * 4
        assert len({shard.device for shard in y.addressable_shards}) == 4
        is_valid = np.asarray(valid)
        batches.append((np.asarray(x)[is_valid], np.asarray(y)[is_valid]))
    assert values(batches) == values(fresh())


def what_jax_cannot_hold_stays_as_it_is() -> None:
    source = rb.ArrayDataSource([np.arange(4)]).map(lambda x: (x.astype(str), ["a"] * len(x), [x]))
    names, texts, (numbers,) = next(iter(to_jax(rb.Loader(source, 4))))
    assert (names.tolist(), texts) == (["0", "1", "2", "3"], ["a"] * 4)
    assert isinstance(numbers, jax.Array)


def a_negative_prefetch_is_refused() -> None:
    with pytest.raises(ValueError, match="prefetch must be 0 or more, not -1"):
        to_jax(fresh(), prefetch=-1)


if __name__ == "__main__":
    each_iteration_is_an_epoch_of_the_loader()
    from_every_step_the_rest_follows()
    batches_are_sharded_over_devices()
    images_are_normalised_on_their_device()
    what_jax_cannot_hold_stays_as_it_is()
    a_negative_prefetch_is_refused()
    arrays_of_actors_outlive_the_loader()

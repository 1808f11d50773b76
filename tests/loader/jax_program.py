"""Checks of the JAX adapter, run in their own process, because a process with JAX must not fork."""

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


def mesh_of_four() -> Any:
    mesh = jax.make_mesh((4,), ("batch",))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))


# Four images, which together have each byte value once in each channel.
IMAGES = np.random.default_rng(0).permuted(np.tile(np.arange(256), (3, 1)), axis=1)
IMAGES = IMAGES.T.reshape(4, 8, 8, 3).astype(np.uint8)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(images: Any, mean: Any = MEAN, std: Any = STD) -> Any:
    return (images.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)


def images_are_normalised_on_their_devices() -> None:
    for is_first in (False, True):
        wanted = normalised(IMAGES)
        wanted = wanted.transpose(0, 3, 1, 2) if is_first else wanted
        for where in (None, mesh_of_four()):
            loader = rb.Loader(rb.ArrayDataSource([IMAGES, np.arange(4)]), 4)
            ((x, y),) = to_jax(loader, where, normalize=(MEAN, STD), channels_first=is_first)
            assert x.dtype == np.float32
            np.testing.assert_array_max_ulp(np.asarray(x), wanted, maxulp=1)
            assert np.asarray(y).tolist() == [0, 1, 2, 3]
            # With a sharding, each device holds only its own image.
            sizes = {len(shard.data) for shard in x.addressable_shards}
            assert sizes == ({4} if where is None else {1})


def any_mean_and_std_are_within_one_unit_in_the_last_place() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        mean, std = rng.uniform(0, 1, 3), rng.uniform(0.01, 2, 3)
        ((x,),) = to_jax(rb.Loader(rb.ArrayDataSource([IMAGES]), 4), normalize=(mean, std))
        np.testing.assert_array_max_ulp(np.asarray(x), normalised(IMAGES, mean, std), maxulp=1)


def grey_images_are_normalised_and_bytes_only_moved() -> None:
    grey, masks = IMAGES[..., 0], IMAGES[..., 1]
    loader = rb.Loader(rb.ArrayDataSource([grey, masks]), 4)
    ((x, mask),) = to_jax(loader, normalize=(0.485, 0.229), channels_first=True)
    np.testing.assert_array_max_ulp(np.asarray(x), normalised(grey, 0.485, 0.229), maxulp=1)
    np.testing.assert_array_equal(np.asarray(mask), masks)
    ((x,),) = to_jax(rb.Loader(rb.ArrayDataSource([IMAGES]), 4), channels_first=True)
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(x), IMAGES.transpose(0, 3, 1, 2))


def it_is_compiled_once_for_all_loaders_and_epochs() -> None:
    compiled: list[str] = []

    def note(event: str, _: float, **kwargs: Any) -> None:
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    images = np.zeros((8, 9, 9, 3), np.uint8)
    counts = []
    for mean in (0.1, 0.2):
        loader = to_jax(rb.Loader(rb.ArrayDataSource([images]), 4), normalize=(mean, 1))
        assert len(list(loader)) == len(list(loader)) == 2
        counts.append(len(compiled))
    assert counts == [1, 1]


def what_is_no_mean_and_std_is_refused_where_it_is_given() -> None:
    with pytest.raises(ValueError, match="std must be above 0"):
        to_jax(fresh(), normalize=(0.5, 0))


def batches_are_sharded_over_devices() -> None:
    sharding = mesh_of_four()
    batches = []
    for x, y, valid in to_jax(fresh(last_batch="pad"), sharding):
        assert x.sharding == y.sharding == sharding
        assert [shard.data.shape for shard in y.addressable_shards] == [(1, 2)] * 4
        assert len({shard.device for shard in y.addressable_shards}) == 4
        is_valid = np.asarray(valid)
        batches.append((np.asarray(x)[is_valid], np.asarray(y)[is_valid]))
    assert values(batches) == values(fresh())


def what_jax_cannot_hold_stays_as_it_is() -> None:
    source = rb.ArrayDataSource([np.arange(4)]).map(
        lambda x: (x.astype(str), ["a"] * len(x), [*x[:, None]])
    )
    names, texts, (numbers, *_) = next(iter(to_jax(rb.Loader(source, 4))))
    assert (names.tolist(), texts) == (["0", "1", "2", "3"], ["a"] * 4)
    assert isinstance(numbers, jax.Array)


def a_negative_prefetch_is_refused() -> None:
    with pytest.raises(ValueError, match="prefetch must be 0 or more, not -1"):
        to_jax(fresh(), prefetch=-1)


if __name__ == "__main__":
    each_iteration_is_an_epoch_of_the_loader()
    from_every_step_the_rest_follows()
    batches_are_sharded_over_devices()
    images_are_normalised_on_their_devices()
    any_mean_and_std_are_within_one_unit_in_the_last_place()
    grey_images_are_normalised_and_bytes_only_moved()
    it_is_compiled_once_for_all_loaders_and_epochs()
    what_is_no_mean_and_std_is_refused_where_it_is_given()
    what_jax_cannot_hold_stays_as_it_is()
    a_negative_prefetch_is_refused()
    arrays_of_actors_outlive_the_loader()

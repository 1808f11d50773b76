"""Small members of a batch do not keep the whole batch in the object store."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import raybatch as rb
from raybatch.pools.ray.small_members import with_small_members_copied


class Images:
    """Images that take 9.6 MB in a batch of 64."""

    def __len__(self) -> int:
        return 256

    def __getitem__(self, indices: Any) -> Any:
        return np.full((len(indices), 224, 224, 3), 7, np.uint8)


def annotated(images: Any, labels: Any) -> tuple[Any, ...]:
    # JAX shares only aligned memory, and Ray aligns only arrays above 2 kB. So `small` is larger.
    boxes = [np.full((n % 3, 4), n, np.float32) for n in labels]
    return (
        images,
        labels,
        (images[..., 0].copy(), {"boxes": boxes, "small": images[:, 0].copy()}),
    )


@pytest.fixture
def loader(actors: rb.RayActorPool) -> Iterator[rb.Loader]:
    source = rb.ArrayDataSource([Images(), np.arange(256)]).map(annotated)
    with rb.Loader(source, 64, pool=actors) as made:
        yield made


def is_in_store(address: int) -> bool:
    """Return whether `address` lies in memory that is shared with Ray's object store."""
    with open("/proc/self/maps") as lines:
        for line in lines:
            start, stop = (int(edge, 16) for edge in line.split(maxsplit=1)[0].split("-"))
            if start <= address < stop:
                return "plasma" in line
    raise AssertionError(f"no memory is at {address:#x}")


def test_small_members_are_copies_and_large_ones_are_not(loader: rb.Loader) -> None:
    for number, (images, labels, (masks, more)) in enumerate(loader):
        assert is_in_store(images.ctypes.data)
        assert is_in_store(masks.ctypes.data)
        for copied in (labels, more["small"], *more["boxes"]):
            assert not is_in_store(copied.ctypes.data)
            assert not copied.flags.writeable
        assert labels.tolist() == list(range(64 * number, 64 * number + 64))
        assert all((box == n).all() for box, n in zip(more["boxes"], labels, strict=True))


def test_tensors_of_small_members_are_out_of_the_store(loader: rb.Loader) -> None:
    pytest.importorskip("torch")
    from raybatch.adapters.torch import to_torch

    images, labels, (_, more) = next(iter(to_torch(loader)))
    assert is_in_store(images.data_ptr())
    assert not any(is_in_store(small.data_ptr()) for small in (labels, more["small"]))


def test_jax_arrays_of_small_members_are_out_of_the_store(loader: rb.Loader) -> None:
    pytest.importorskip("jax")
    from raybatch.adapters.jax import to_jax

    _, labels, (_, more) = next(iter(to_jax(loader, prefetch=0)))
    assert not any(is_in_store(small.unsafe_buffer_pointer()) for small in (labels, more["small"]))


class Pair(NamedTuple):
    x: Any
    y: Any


def read_only(nbytes: int) -> Any:
    array = np.zeros(nbytes, np.uint8)
    array.flags.writeable = False
    return array


def are_copied(batch: Any) -> list[bool]:
    pairs = zip(batch, with_small_members_copied(batch), strict=True)
    return [before is not after for before, after in pairs]


def test_the_limit_is_a_sixteenth_of_the_batch() -> None:
    assert are_copied((read_only(150), read_only(10))) == [False, True]
    assert are_copied((read_only(149), read_only(10))) == [False, False]
    assert are_copied((read_only(1600), [read_only(60), read_only(40)])) == [False, True]
    assert are_copied((read_only(1600), [read_only(60), read_only(50)])) == [False, False]


def test_structures_and_what_is_no_array_of_the_store_stay() -> None:
    own, text = np.zeros(1), ["a"]
    batch = Pair(read_only(1000), {"own": own, "text": text, "both": Pair(own, read_only(1))})
    copied = with_small_members_copied(batch)
    assert type(copied) is type(copied.y["both"]) is Pair
    assert copied.x is batch.x
    assert copied.y["own"] is own
    assert copied.y["text"] == text
    assert copied.y["both"].y is not batch.y["both"].y
    for whole in (None, 7, read_only(8), namedtuple("Empty", ())()):
        assert with_small_members_copied(whole) is whole or whole == ()


def test_strides_stay() -> None:
    columns = np.asfortranarray(np.ones((2, 3)))
    columns.flags.writeable = False
    _, copied = with_small_members_copied((read_only(10_000), columns))
    assert copied.strides == columns.strides

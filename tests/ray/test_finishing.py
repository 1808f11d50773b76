"""Images of normalised floats cross the store as bytes, without any effect on the batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.image import augment, kernel
from raybatch.making.request import Request
from raybatch.order.rows import Rows
from raybatch.order.seeds import NO_KEYS
from raybatch.scheduling.messages import Completed
from raybatch.structure import leaves

LAYOUT = rb.PixelLayout(channels_first=True, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CROP = augment.Compose([augment.RandomResizedCrop(40), augment.RandomHorizontalFlip()])

pytestmark = pytest.mark.skipif(kernel.fault() is not None, reason=f"no kernel: {kernel.fault()}")


def images(paths: list[str], **options: Any) -> rb.ImageFileAccessor:
    return rb.ImageFileAccessor(paths, transform=CROP, **{"layout": LAYOUT, **options})


class Doubled(rb.ImageFileAccessor):
    """A user-defined accessor that computes with the floats of its base class."""

    def read_seeded(self, index: Any, rng_of: Any) -> Any:
        return super().read_seeded(index, rng_of) * 2


class Shifted(rb.ArrayDataSource):
    """A user-defined source that computes with the floats of its base class."""

    def read(self, rows: Any, keys: Any) -> Any:
        (x,) = super().read(rows, keys)
        return (x + 1,)


# Functions that make a source of each kind from paths.
SOURCES: dict[str, Callable[[list[str]], Any]] = {
    "tuple": lambda paths: rb.ArrayDataSource([images(paths), np.arange(len(paths))]),
    "dict": lambda paths: rb.ArrayDataSource({"image": images(paths)}),
    "with indices": lambda paths: rb.ArrayDataSource([images(paths)], include_indices=True),
    "grey": lambda paths: rb.ArrayDataSource(
        [images(paths, mode="L", layout=rb.PixelLayout(np.float32)), images(paths)]
    ),
    "channels last": lambda paths: rb.ArrayDataSource(
        [images(paths, layout=rb.PixelLayout(np.float32))]
    ),
    "doubles": lambda paths: rb.ArrayDataSource([images(paths, layout=rb.PixelLayout(np.float64))]),
    "map": (
        lambda paths: rb.ArrayDataSource([images(paths)]).map(lambda x: (x.mean(axis=(2, 3)), x))
    ),
    "collated": lambda paths: rb.ArrayDataSource(
        {"image": images(paths)}, collate={"image": "stack"}
    ),
    "own accessor": lambda paths: rb.ArrayDataSource(
        [Doubled(paths, transform=CROP, layout=LAYOUT)]
    ),
    "own source": lambda paths: Shifted([images(paths)]),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_batches_are_those_without_actors(
    photos: list[str], actors: rb.RayActorPool, kind: str
) -> None:
    source = SOURCES[kind](photos[:14])
    with rb.Loader(source, 4, shuffle=3, pool=actors, last_batch="pad") as loader:
        made = list(loader)
    with rb.Loader(source, 4, shuffle=3, last_batch="pad") as loader:
        expected = list(loader)
    assert rb.stream_digest(made) == rb.stream_digest(expected)
    floats = [leaf for leaf in leaves(made[0]) if leaf.dtype.kind == "f" and leaf.ndim > 2]
    assert floats
    assert not any(leaf.flags.writeable for leaf in floats)


def test_bytes_cross_the_store(photos: list[str], actors: rb.RayActorPool) -> None:
    labels = np.arange(8)
    source = rb.ArrayDataSource([images(photos[:8]), labels])
    session = actors.open(source)
    request = Request.plain(Rows.of(labels), NO_KEYS)
    session.submit(0, 0, request, frozenset())
    events: list[Any] = []
    while not events:
        events = session.wait(10)
    assert [type(event) for event in events] == [Completed]
    assert events[0].nbytes == 8 * 40 * 40 * 3 + labels.nbytes
    x, y = session.fetch(0, 0).batch
    session.close()
    expected, _ = source.read(request.rows, NO_KEYS)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(y, labels)


def test_batches_that_are_kept_are_not_written_over(
    photos: list[str], actors: rb.RayActorPool
) -> None:
    big = rb.ImageFileAccessor(photos, (64, 64), layout=LAYOUT)
    with rb.Loader(rb.ArrayDataSource([big]), 8, pool=actors) as loader:
        kept = [x for (x,) in loader]
        digests = [x.sum() for x in kept]
        for (x,) in loader:
            del x
    assert [x.sum() for x in kept] == digests

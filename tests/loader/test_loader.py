"""A loader gives the same stream on every pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource
from raybatch.batchup.work_pool import AbstractWorkerPool
from tests.session_pool import SessionPool


def grey(x: Any, *rest: Any) -> tuple[Any, ...]:
    return (x.mean(axis=-1).astype(np.float32), *rest)


def sources(photos: list[str]) -> dict[str, AbstractDataSource]:
    """Return one source of every kind that has random access."""
    images = rb.ImageFileAccessor(photos, size=(16, 24))
    labels = np.arange(len(photos), dtype=np.int32)
    plain = rb.ArrayDataSource([images, labels])
    subset = rb.ArrayDataSource(
        [images, labels], indices=np.arange(3, 33, 2), repeats=3, include_indices=True
    )
    numbers = rb.ArrayDataSource([np.arange(25.0)])
    weighted = rb.WeightedSampler(np.arange(1, len(photos) + 1))
    return {
        "array": plain,
        "pillow images": rb.ArrayDataSource([rb.NonUniformImageFileAccessor(photos), labels]),
        "subset, repeated": subset,
        "mapped": subset.map(lambda i, x, y: (*grey(x), i, y)),
        "composite": rb.CompositeDataSource([plain, numbers.map(lambda x: (x + 1,))]),
        "composite, nested, untrimmed": rb.CompositeDataSource(
            [plain, rb.CompositeDataSource([subset, numbers])], flatten=False, trim=False
        ),
        "choice": rb.ChoiceDataSource([plain, plain.map(grey)]),
        "choice, stratified": rb.ChoiceDataSource(
            [plain, subset.map(lambda i, x, y: (x, y))], True
        ),
        "composite of choices": rb.CompositeDataSource(
            [rb.ChoiceDataSource([plain, plain.map(grey)]), numbers]
        ),
        "weighted": rb.CompositeDataSource(
            [rb.ArrayDataSource([images], sampler=weighted), numbers]
        ),
    }


KINDS = [
    "array",
    "pillow images",
    "subset, repeated",
    "mapped",
    "composite",
    "composite, nested, untrimmed",
    "choice",
    "choice, stratified",
    "composite of choices",
    "weighted",
]
SHUFFLES: dict[str, Callable[[], Any]] = {
    "in order": lambda: None,
    "seed": lambda: 12345,
    "RandomState": lambda: np.random.RandomState(12345),
    "Generator": lambda: np.random.default_rng(12345),
}


@pytest.fixture(scope="module")
def pools(session_ray: SessionPool) -> Iterator[dict[str, AbstractWorkerPool]]:
    session_ray.close()  # the pools below need nearly all CPUs
    made: dict[str, AbstractWorkerPool] = {
        "1 actor": rb.RayActorPool(1),
        "3 actors": rb.RayActorPool(3, threads_per_actor=2, num_cpus_per_actor=0.5),
        "threads": rb.ThreadPool(3),
    }
    yield made
    for pool in made.values():
        pool.close()


# A weighted sampler draws samples at random, so it cannot go in order.
PROGRAMS = [(k, s) for k in KINDS for s in SHUFFLES if (k, s) != ("weighted", "in order")]


@pytest.mark.parametrize(("kind", "shuffle"), PROGRAMS)
def test_the_stream_does_not_depend_on_the_pool(
    kind: str, shuffle: str, photos: list[str], pools: dict[str, AbstractWorkerPool]
) -> None:
    source = sources(photos)[kind]
    rng = SHUFFLES[shuffle]()
    epochs = 2 if shuffle != "seed" else 1
    serial = [rb.stream_digest(source.batch_iterator(7, shuffle=rng)) for _ in range(epochs)]
    for pool in (None, *pools.values()):
        with rb.Loader(source, 7, shuffle=SHUFFLES[shuffle](), pool=pool) as loader:
            lengths = [len(loader)]
            assert [rb.stream_digest(loader) for _ in range(epochs)] == serial
            loader.set_epoch(0)
            assert lengths == [sum(1 for _ in loader)]


def test_kinds_are_all_tested(photos: list[str]) -> None:
    assert list(sources(photos)) == KINDS

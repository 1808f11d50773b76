"""Ray Data: its own reader of images, and the plain loop's function in its tasks and actors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import ray
import ray.data

from raybatch.bench.work import Batches, Work


def read_images(work: Work) -> Batches:
    """Load with `ray.data.read_images`, which scales with the same filter as the plain loop."""
    index_of = {path: index for index, path in enumerate(work.paths)}
    with _ray(work):
        images = ray.data.read_images(
            list(work.paths),
            size=work.size,
            mode="RGB",
            include_paths=True,
            file_extensions=None,  # else it leaves out files with other suffixes than it expects
            override_num_blocks=len(work.batch_indices()),
        )
        for batch in _epochs(work, images):
            yield batch["image"], np.array([index_of[path] for path in batch["path"]])


def map_in_tasks(work: Work) -> Batches:
    """Load in the tasks of a `map_batches`."""
    return _through_map(work, _Read(work).__call__)


def map_in_actors(work: Work) -> Batches:
    """Load in the actors of a `map_batches`; Ray Data starts new ones for each epoch."""
    actors = ray.data.ActorPoolStrategy(size=work.workers)
    return _through_map(work, _Read, fn_constructor_args=(work,), compute=actors)


class _Read:
    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"image": self._work.read_batch(batch["item"]), "index": batch["item"]}


def _through_map(work: Work, read: Any, **how: Any) -> Batches:
    count, blocks = len(work.paths), len(work.batch_indices())
    with _ray(work):
        # One block for each batch, so that no batch is joined from two blocks.
        indices = ray.data.from_items(list(range(count)), override_num_blocks=blocks)
        mapped = indices.map_batches(read, batch_size=work.batch_size, **how)
        for batch in _epochs(work, mapped):
            yield batch["image"], batch["index"]


def _epochs(work: Work, dataset: Any) -> Iterator[dict[str, Any]]:
    for _ in range(work.epochs):
        yield from dataset.iter_batches(batch_size=work.batch_size, prefetch_batches=2)


@contextmanager
def _ray(work: Work) -> Iterator[None]:
    ray.init(address="local", num_cpus=work.workers, include_dashboard=False)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
    finally:
        ray.shutdown()

"""Contenders for all recipes: raybatch's pools, other libraries, and the ceiling.

The other libraries call the plain loop's function. Each contender imports its library itself, in
its own process.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from typing import Any

import numpy as np

from raybatch.accessors.image_files import ImageFileAccessor
from raybatch.bench.recipes import MEAN, STD
from raybatch.bench.work import Batches, Work
from raybatch.image.pixels import PixelLayout
from raybatch.loader.loader import Loader
from raybatch.pools.pool import WorkerPool
from raybatch.pools.threads import ThreadPool
from raybatch.sources.array import ArrayDataSource


def raybatch_actors(work: Work) -> Batches:
    """Load with Ray actors."""
    return _through_loader(work, _actor_pool(work))


def raybatch_threads(work: Work) -> Batches:
    """Load on threads of this process."""
    return _through_loader(work, ThreadPool(work.workers))


def raybatch_scaled(work: Work) -> Batches:
    """Load with Ray actors whose JPEG decoder shrinks images; the pixels are nearly exact."""
    reading: dict[str, Any] = {"decode": "scaled", "scale_margin": work.scale_margin}
    return _through_loader(work, _actor_pool(work), **reading)


def raybatch_bytes(work: Work) -> Batches:
    """Load bytes with Ray actors, and normalise them here, as tensors."""
    from raybatch.adapters.torch import to_torch

    with _loader(work, _actor_pool(work), PixelLayout()) as loader:
        batches = to_torch(loader, normalize=(MEAN, STD), channels_first=True)
        for _ in range(work.epochs):
            yield from batches


def _actor_pool(work: Work) -> WorkerPool:
    from raybatch.pools.ray.actor_pool import RayActorPool

    return RayActorPool(work.workers, address="local")


def _through_loader(work: Work, pool: WorkerPool, **reading: Any) -> Batches:
    layout = PixelLayout(channels_first=True, mean=MEAN, std=STD)
    with _loader(work, pool, layout, **reading) as loader:
        for _ in range(work.epochs):
            yield from loader


@contextmanager
def _loader(work: Work, pool: WorkerPool, layout: PixelLayout, **reading: Any) -> Iterator[Loader]:
    """Open a loader for `work`; a random recipe uses `layout` and a shuffled order."""
    transform = work.recipe.transform(work.size)
    size = work.size if transform is None else None
    used = layout if work.recipe.is_random else None
    images = ImageFileAccessor(work.paths, size, transform=transform, layout=used, **reading)
    source = ArrayDataSource([images, np.arange(len(images))])
    shuffle = work.recipe.is_random
    with pool, Loader(source, work.batch_size, shuffle=shuffle, pool=pool) as loader:
        yield loader


def ceiling(work: Work) -> Batches:
    """Run a plain loop for each worker, in parallel, without handing over images.

    Only the number of finished batches counts, not their order: a batch of the next epoch can be
    finished before the last one of this epoch. Each process takes the next batch that no other has
    taken, so all are busy to the end.
    """
    order = work.epochs * work.batch_indices()
    context = multiprocessing.get_context("spawn")
    taken = context.Value("q", 0)
    made: SimpleQueue[None] = context.SimpleQueue()
    processes = [
        context.Process(target=_take_batches, args=(work, taken, made), daemon=True)
        for _ in range(work.workers)
    ]
    for process in processes:
        process.start()
    try:
        for indices in order:
            made.get()
            yield None, indices
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _take_batches(work: Work, taken: Any, made: SimpleQueue[None]) -> None:
    order = work.epochs * work.batch_indices()
    while True:
        with taken:
            number = taken.value
            taken.value += 1
        if number >= len(order):
            return
        work.read_batch(order[number])
        made.put(None)


class _MapStyle:
    """The images of `work` one by one, as a PyTorch data set."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __len__(self) -> int:
        return len(self._work.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self._work.read_image(index), index


def torch_loader(work: Work) -> Batches:
    """Load with PyTorch's DataLoader, in worker processes that live through all epochs.

    Its collation stacks the images in shared memory, so a batch is not copied again.
    """
    yield from through_torch(work, _MapStyle(work))


def huggingface(work: Work) -> Batches:
    """Load with the image feature of Hugging Face datasets and a transform, in a DataLoader.

    The guide of that library recommends this way.
    """
    import torch
    from datasets import Dataset, Image

    def changed(rows: dict[str, list[Any]]) -> dict[str, Any]:
        images = work.empty_batch(len(rows["image"]))
        for image, row in zip(rows["image"], images, strict=True):
            work.recipe.write(image, row)
        return {"image": list(torch.from_numpy(images)), "index": rows["index"]}

    table = {"image": list(work.paths), "index": list(range(len(work.paths)))}
    dataset = Dataset.from_dict(table).cast_column("image", Image(mode="RGB"))
    for batch in through_torch(work, dataset.with_transform(changed)):
        yield batch["image"], batch["index"]


def through_torch(work: Work, dataset: Any) -> Any:
    """Load the items of `dataset` in the processes of a DataLoader."""
    from torch.utils.data import DataLoader

    workers = {"num_workers": work.workers, "persistent_workers": True}
    loader = DataLoader(dataset, work.batch_size, shuffle=work.recipe.is_random, **workers)
    for _ in range(work.epochs):
        yield from loader


def grain_threads(work: Work) -> Batches:
    """Load with Grain on threads of this process."""
    yield from _grain_dataset(work, num_threads=work.workers)


def grain_processes(work: Work) -> Batches:
    """Load with Grain in worker processes, each with one thread that reads."""
    import grain

    options = grain.MultiprocessingOptions(work.workers, per_worker_buffer_size=2)
    iterator = iter(_grain_dataset(work, num_threads=1).mp_prefetch(options))
    try:
        yield from iterator
    finally:
        iterator.close()


def _grain_dataset(work: Work, num_threads: int) -> Any:
    """Return the batches of all epochs.

    The epochs are repeated after batching, so that no batch spans two of them.
    """
    import grain

    def read(index: int) -> tuple[Any, int]:
        return work.read_image(index), index

    indices = grain.MapDataset.source(range(len(work.paths)))
    batches = indices.map(read).batch(work.batch_size).repeat(work.epochs)
    # This buffer counts batches: Grain's default of 500 would hold gigabytes of pixels.
    buffered = 2 * num_threads + 2
    return batches.to_iter_dataset(grain.ReadOptions(num_threads, prefetch_buffer_size=buffered))


def spdl(work: Work) -> Batches:
    """Load each batch in one thread of SPDL's pipeline, by the plain loop's function.

    SPDL's own decoder gives other pixels.
    """
    yield from through_spdl(work, work.read_batch)


def through_spdl(work: Work, read_batch: Callable[[Any], Any]) -> Batches:
    """Load each batch by `read_batch` in one thread of SPDL's pipeline."""
    from spdl.pipeline import PipelineBuilder

    def read(indices: Any) -> tuple[Any, Any]:
        return read_batch(indices), indices

    pipeline = (
        PipelineBuilder()
        .add_source(work.epochs * work.batch_indices())
        .pipe(read, concurrency=work.workers, output_order="input")
        .add_sink(2)
        .build(num_threads=work.workers, max_failures=0)
    )
    with pipeline.auto_stop():
        yield from pipeline.get_iterator()

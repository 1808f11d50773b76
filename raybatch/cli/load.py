"""`raybatch load`: the images of a folder through the loader, timed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from raybatch.cli import options
from raybatch.cli.folder import folder_source
from raybatch.cli.progress import with_progress
from raybatch.loader import Loader
from raybatch.pools import WorkerPool
from raybatch.sources import BadSampleLedger, DataSource, StreamDigest


@click.command()
@click.argument("directory", type=options.folder)
@options.size
@options.batch_size
@click.option("--epochs", type=click.IntRange(min=1), default=1, show_default=True)
@options.actors
@options.shuffle
@options.cluster
@options.exclude
@options.reading
@options.as_json
@options.report_errors
def load(
    directory: str,
    size: tuple[int, int],
    batch_size: int,
    epochs: int,
    actors: int | None,
    shuffle: int | None,
    cluster: Mapping[str, Any],
    exclude: BadSampleLedger | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Load the images below DIRECTORY, and say how fast they came.

    The digest of an epoch covers every pixel and label in their order: the same images, size, batch size, seed and
    ways of reading give the same digest, with any number of actors.
    """
    console = Console(stderr=as_json)
    source, _ = folder_source(directory, size, exclude, **reading)
    with open_loader(source, batch_size, shuffle, actors, cluster) as loader:
        figures = [time_epoch(console, loader, epoch) for epoch in range(epochs)]
    if as_json:
        click.echo(json.dumps({"images": source.num_samples(), "epochs": figures}, indent=2))
    else:
        console.print(_table(figures))


@contextmanager
def open_loader(
    source: DataSource,
    batch_size: int,
    shuffle: int | None,
    actors: int | None,
    cluster: Mapping[str, Any] | None = None,
    bad_samples: str = "raise",
) -> Iterator[Loader]:
    """Open a loader on `actors` Ray actors that are up, or on none for 0."""
    with (
        open_pool(actors, cluster or {}) as pool,
        Loader(source, batch_size, shuffle=shuffle, pool=pool, bad_samples=bad_samples) as loader,
    ):
        yield loader


@contextmanager
def open_pool(actors: int | None, cluster: Mapping[str, Any]) -> Iterator[WorkerPool | None]:
    """Open a pool of `actors` Ray actors that are up, placed by `options.cluster`, or none for 0."""
    if actors == 0:
        yield None
        return
    from raybatch.pools import RayActorPool  # loads ray

    try:
        pool = RayActorPool(actors, **cluster)
    except ValueError as error:  # a resource or a label that Ray cannot be asked for
        raise options.CannotRunError(str(error)) from error
    try:
        yield pool.wait_until_up()
    finally:
        pool.close()


def time_epoch(console: Console, loader: Loader, epoch: int) -> dict[str, Any]:
    """Return the figures of one epoch: images, batches, seconds, the first batch's, and the digest."""
    digest = StreamDigest()
    images, batches, first_batch_s = 0, 0, 0.0
    started = time.perf_counter()
    total = int(loader.num_samples or 0)
    for batch in with_progress(console, f"epoch {epoch}", loader, total):
        if batches == 0:
            first_batch_s = time.perf_counter() - started
        digest.update(batch)
        images += len(batch[0])
        batches += 1
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch,
        "images": images,
        "batches": batches,
        "seconds": round(seconds, 3),
        "images_per_s": round(images / seconds, 1),
        "first_batch_s": round(first_batch_s, 3),
        "digest": digest.hexdigest(),
    }


def _table(figures: list[dict[str, Any]]) -> Table:
    table = Table("epoch", "images", "batches", "seconds", "first batch", "images/s", "digest")
    for row in figures:
        table.add_row(
            str(row["epoch"]),
            str(row["images"]),
            str(row["batches"]),
            f"{row['seconds']:.2f}",
            f"{row['first_batch_s']:.3f} s",
            f"{row['images_per_s']:.0f}",
            row["digest"][:16],
        )
    return table

"""`raybatch load`: load images and time it."""

from __future__ import annotations

import itertools
import time
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from raybatch.cli import options
from raybatch.cli.class_names import classes_option
from raybatch.cli.image_forms import images_argument, images_named
from raybatch.cli.labelled_source import labelled_source
from raybatch.cli.options import ActorOptions
from raybatch.cli.output import Output, listed
from raybatch.loader.loader import Loader
from raybatch.making.policy import BadSamples
from raybatch.sources.digest import StreamDigest
from raybatch.stores.disk_cache import DiskCache

_TRAINING_BATCHES = 20


@click.command()
@images_argument
@options.size
@options.batch_size
@options.count("--epochs", "Number of epochs.", default=1)
@options.shuffle
@options.workers
@options.bad_samples
@options.transform
@classes_option
@options.reading
@options.cache
@options.output
def load(
    given: str,
    size: tuple[int, int] | None,
    batch_size: int,
    epochs: int,
    shuffle: int | None,
    workers: ActorOptions,
    bad_samples: str,
    transform: str | None,
    output: Output,
    cache: DiskCache | None,
    **reading: Any,
) -> None:
    """Load images, and report the rate.

    Without --transform, the command then loads a few more batches as for training: a random part of
    each image, flipped at random.

    The digest of an epoch covers every pixel and label, in order. The same images, size, batch
    size, seed, transform and reading options give the same digest with any number of actors.

    The exit status is 0 if all images were loaded, 1 if some were left out, and 2 if loading did
    not finish.
    """
    images = images_named(given, cache)
    size = size or images.default_size
    source, _ = labelled_source(images, size, transform=transform, **reading)
    training_rate = None
    setting = BadSamples(bad_samples, tell=output.as_json)
    with workers.pool() as pool:
        with Loader(
            source, batch_size, **options.shuffled(shuffle), pool=pool, bad_samples=setting
        ) as loader:
            epoch_figures = [time_epoch(output, loader, epoch) for epoch in range(epochs)]
            bad = loader.bad_samples
        if transform is None:
            trained, _ = labelled_source(images, size, transform="train", **reading)
            with Loader(
                trained,
                batch_size,
                **options.shuffled(shuffle),
                pool=pool,
                bad_samples=setting,
                exclude=bad,
            ) as loader:
                training_rate = training_images_per_s(loader)
    figures = {
        "images": source.num_samples(),
        "epochs": epoch_figures,
        "training_images_per_s": training_rate,
        "bad_samples": listed(bad, "index", "path", "message"),
    }
    shown: list[RenderableType] = [
        f"{images.form}, {size[0]}×{size[1]} pixels",
        _table(epoch_figures),
    ]
    shown += [Text(f"digest of epoch {row['epoch']}: {row['digest']}") for row in epoch_figures]
    shown += [Text(f"left out: {sample.description}") for sample in bad]
    if training_rate is not None:
        crops = "with random crops and flips, as in training (--transform train)"
        shown.append(Text(f"{training_rate:.0f} images/s {crops}"))
    output.show(figures, shown)
    if len(bad):
        raise SystemExit(options.SOMETHING_BAD)


def training_images_per_s(loader: Loader) -> float:
    """Return the rate of the first batches of an epoch, in images a second."""
    started = time.perf_counter()
    images = sum(len(batch[0]) for batch in itertools.islice(loader, _TRAINING_BATCHES))
    return round(images / (time.perf_counter() - started), 1)


def time_epoch(output: Output, loader: Loader, epoch: int) -> dict[str, Any]:
    """Return the figures of one epoch.

    They are images, batches, seconds, seconds until the first batch, and the digest.
    """
    digest = StreamDigest()
    images, batches, first_batch_s = 0, 0, 0.0
    started = time.perf_counter()
    for batch in output.batches(f"epoch {epoch}", loader, int(loader.num_samples or 0)):
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
    table = Table("epoch", "images", "batches", "seconds", "first batch", "images/s")
    for row in figures:
        table.add_row(
            *(str(row[name]) for name in ("epoch", "images", "batches")),
            f"{row['seconds']:.2f}",
            f"{row['first_batch_s']:.3f} s",
            f"{row['images_per_s']:.0f}",
        )
    return table

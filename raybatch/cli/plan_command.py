"""`raybatch plan`: estimate what a rate needs, from a few measured batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import RenderableType
from rich.table import Table

from raybatch.accessors.image_facts import ImageFacts
from raybatch.bench.needs import BatchCosts, Needs, measure_costs, needs_for
from raybatch.cli import options
from raybatch.cli.image_forms import images_argument, images_named
from raybatch.cli.labelled_source import labelled_source
from raybatch.cli.named_images import NamedImages
from raybatch.cli.options import ActorOptions
from raybatch.cli.output import Output
from raybatch.order.blocks import BlockShuffleSampler
from raybatch.order.quality import ShuffleQuality
from raybatch.sources.ledger import BadSampleLedger

_SAMPLED_FILES = 64
_MOST_IMAGES_PER_S = 1e12


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= _MOST_IMAGES_PER_S:
        raise click.BadParameter(
            f"{text!r} is not a number above 0 and at most {_MOST_IMAGES_PER_S:g}"
        )
    return rate


@click.command()
@images_argument
@click.option(
    "--rate",
    type=_rate,
    metavar="FLOAT",
    required=True,
    help="Images per second that training needs.",
)
@options.size
@options.batch_size
@options.count("--batches", "Number of batches to measure, made by one actor.", default=20)
@options.count(
    "--row-groups",
    "Number of row groups of Parquet files to shuffle together; they stay in memory.",
    4,
)
@options.one_worker
@options.transform
@options.reading
@options.output
def plan(
    given: str,
    rate: float,
    size: tuple[int, int] | None,
    batch_size: int,
    batches: int,
    row_groups: int,
    workers: ActorOptions,
    transform: str | None,
    exclude: BadSampleLedger | None,
    output: Output,
    **reading: Any,
) -> None:
    """Measure a few batches, and estimate what a given rate needs.

    The estimate has the number of actors and CPU cores, the object store memory on the consumer's
    host, and the network bandwidth from the storage to the actors and from them to the consumer.
    For Parquet files, it also says how well the samples are shuffled. With --address, an actor in
    that cluster makes the batches, and the estimate is for hosts like its own.

    Nothing else should run on the machine meanwhile. Actors that share a processor's cache and
    memory are slower than one alone. So check the rate with `raybatch load --actors` before you buy
    hardware.

    The exit status is 0 on success, 1 if one consumer cannot receive that rate, and 2 if nothing
    was measured.
    """
    images = images_named(given)
    size = size or images.default_size
    source, _ = labelled_source(images, size, exclude, transform, row_groups=row_groups, **reading)
    kept = np.setdiff1d(np.arange(len(images)), [bad.index for bad in exclude or ()])
    with workers.pool() as pool:
        assert pool is not None
        try:
            file_bytes = _mean_file_bytes(images, kept, reading)
            costs = measure_costs(source, batch_size, pool, batches, file_bytes)
        except ValueError as error:
            raise options.CannotRunError(str(error)) from error
    needs = needs_for(costs, rate)
    figures = {"batch": asdict(costs), "needs": asdict(needs), "warning": needs.warning}
    lines = [*_shown(costs, needs)]
    if isinstance(source.sampler, BlockShuffleSampler):
        quality = source.sampler.quality()
        figures["shuffle"] = quality._asdict()
        lines.append(_mixing(source.sampler, quality))
    output.show(figures, lines)
    if needs.warning is not None:
        raise SystemExit(options.SOMETHING_BAD)


def _mean_file_bytes(
    images: NamedImages, kept: npt.NDArray[np.intp], reading: dict[str, Any]
) -> float:
    """Return the mean stored size of an image in bytes, from all or from a sample of `kept`."""
    if images.nbytes is not None:
        return images.nbytes / len(images)
    count = min(len(kept), _SAMPLED_FILES)
    sample = np.random.default_rng(0).choice(kept, count, replace=False)
    facts = ImageFacts(images.open(images.default_size, io_threads=reading["io_threads"]))
    return float(facts[sample]["file_bytes"].mean())


def _mixing(sampler: BlockShuffleSampler, quality: ShuffleQuality) -> str:
    """Return how well the samples are shuffled, in words."""
    count = len(sampler.block_lengths)
    return (
        f"The samples are shuffled within {min(sampler.window, count)} of the {count} row groups"
        f" at a time. {quality.same_block:.1%} of them follow a sample of the same group (full"
        f" shuffle: {quality.same_block_if_full:.1%}), and the samples of a group are on average"
        f" {quality.spread:.1%} as far apart as in a full shuffle."
    )


def _shown(costs: BatchCosts, needs: Needs) -> Iterator[RenderableType]:
    each = costs.batch_size / costs.actor_s
    yield (
        f"One actor makes {each:.0f} images/s here, and waits {costs.waiting_share:.0%} of the"
        f" time. A batch of {costs.batch_size} takes {costs.nbytes / 1e6:.1f} MB, and its files"
        f" {costs.file_bytes / 1e6:.1f} MB. A rate of {needs.images_per_s:.0f} images/s needs:"
    )
    table = Table(show_header=False, box=None)
    table.add_column(justify="right")
    for amount, what in (
        (f"{needs.actors}", "actors"),
        (f"{needs.cores}", "CPU cores for them"),
        (
            f"{needs.store_bytes / 1e6:.0f} MB",
            f"object store on the consumer's host, for a window of {needs.window_batches} batches",
        ),
        (
            f"{needs.network_bit_s / 1e9:.2f} Gbit/s",
            "network, from actors on other hosts to the consumer",
        ),
        (f"{needs.storage_bit_s / 1e9:.2f} Gbit/s", "network, from the storage to the actors"),
        (f"{needs.driver_cores:.2f}", "CPU cores in the consumer's process, to receive batches"),
    ):
        table.add_row(amount, what)
    yield table
    if needs.warning is not None:
        yield f"But {needs.warning}."

"""`raybatch plan`: what a wanted rate needs, from a few measured batches."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from raybatch.accessors.image_facts import ImageFacts
from raybatch.bench.costs import measure_costs
from raybatch.bench.plan import BatchCosts, Plan
from raybatch.bench.plan import plan as plan_for
from raybatch.cli import options
from raybatch.cli.folder import folder_source
from raybatch.cli.load import open_pool
from raybatch.sources import BadSampleLedger

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
@click.argument("directory", type=options.folder)
@click.option(
    "--rate",
    type=_rate,
    metavar="FLOAT",
    required=True,
    help="Images a second that training is to get.",
)
@options.size
@options.batch_size
@click.option(
    "--batches",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Measure so many, made by one actor.",
)
@options.cluster
@options.exclude
@options.reading
@options.as_json
@options.report_errors
def plan(
    directory: str,
    rate: float,
    size: tuple[int, int],
    batch_size: int,
    batches: int,
    cluster: Mapping[str, Any],
    exclude: BadSampleLedger | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Measure a few batches of the images below DIRECTORY, and reckon what --rate images a second need.

    Actors and CPU cores, object store memory on the consumer's host, and the network from the actors to it and from
    the storage to the actors. With --address the batches are made in that cluster, whose processors count then.

    The machine should be idle otherwise. Where many actors share a processor's cache and memory, each is slower than
    one alone, so see what `raybatch load --actors` reaches before you buy.

    The exit status is 0, 1 if one consumer cannot receive so much, or 2 if nothing was measured.
    """
    source, _ = folder_source(directory, size, exclude, **reading)
    with open_pool(1, cluster) as pool:
        assert pool is not None
        try:
            paths = source.data[0].paths
            bad = [sample.index for sample in exclude or ()]
            kept = np.setdiff1d(np.arange(len(paths)), bad)
            file_bytes = _mean_file_bytes(paths, kept, **reading)
            costs = measure_costs(source, batch_size, pool, batches, file_bytes)
        except ValueError as error:
            raise options.CannotRunError(str(error)) from error
    needs = plan_for(costs, rate)
    if as_json:
        click.echo(json.dumps(_figures(costs, needs), indent=2))
    else:
        _report(Console(), costs, needs)
    if needs.warning is not None:
        raise SystemExit(options.SOMETHING_BAD)


def _mean_file_bytes(paths: Any, kept: npt.NDArray[np.intp], *, io_threads: int, **_: Any) -> float:
    """Return the mean size of a sample of the files at the positions `kept`."""
    count = min(len(kept), _SAMPLED_FILES)
    sample = np.random.default_rng(0).choice(kept, count, replace=False)
    return float(ImageFacts(paths, io_threads=io_threads)[sample]["file_bytes"].mean())


def _figures(costs: BatchCosts, needs: Plan) -> dict[str, Any]:
    return {"batch": asdict(costs), "needs": asdict(needs), "warning": needs.warning}


def _report(console: Console, costs: BatchCosts, needs: Plan) -> None:
    each = costs.batch_size / costs.actor_s
    console.print(
        f"One actor makes {each:.0f} images/s here, and waits {costs.waiting_share:.0%} of the time; a batch of "
        f"{costs.batch_size} has {costs.nbytes / 1e6:.1f} MB, and its files {costs.file_bytes / 1e6:.1f} MB. "
        f"{needs.images_per_s:.0f} images/s need:"
    )
    table = Table(show_header=False, box=None)
    table.add_column(justify="right")
    table.add_column()
    table.add_row(str(needs.actors), "actors")
    table.add_row(str(needs.cores), "CPU cores for them")
    store = f"{needs.store_bytes / 1e6:.0f} MB"
    table.add_row(
        store,
        f"object store on the consumer's host, for a window of {needs.window_batches} batches",
    )
    table.add_row(
        f"{needs.network_bit_s / 1e9:.2f} Gbit/s", "from actors on other hosts to the consumer"
    )
    table.add_row(f"{needs.storage_bit_s / 1e9:.2f} Gbit/s", "from the storage to the actors")
    table.add_row(
        f"{needs.driver_cores:.2f}", "cores of the consumer's process, to receive batches"
    )
    console.print(table)
    if needs.warning is not None:
        console.print(f"But {needs.warning}.")

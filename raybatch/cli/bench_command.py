"""`raybatch bench`: time raybatch and other libraries on the same work, side by side."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from raybatch.bench.contenders import CONTENDERS, EXTRA, RAYBATCH, SCALED, Contender, peers_of
from raybatch.bench.recipes import RECIPES, STRETCH
from raybatch.bench.report import report
from raybatch.bench.work import Work
from raybatch.cli import options
from raybatch.cli.bench_report import shown, write_bench_page
from raybatch.cli.labelled_source import given_or_made
from raybatch.cli.named_images import NamedImages
from raybatch.cli.out_paths import OutFile
from raybatch.cli.output import Output

_SEED = 12345
_MADE_IMAGES = 1000


def _parse_peers(context: click.Context, option: click.Parameter, text: str | None) -> list[str]:
    peers = peers_of(context.params["recipe"])
    names = peers if text is None else [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in peers]:
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(peers)}")
    return names


def _plot_path(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    if path is not None:
        options.check_installed("matplotlib", EXTRA)
        from raybatch.bench.plot import formats  # loads matplotlib

        if path.suffix[1:].lower() not in formats():
            known = ", ".join(formats())
            raise click.BadParameter(f"{path.name!r} must end in one of the suffixes {known}")
    return path


@click.command()
@click.argument("given", metavar="[IMAGES]", required=False)
@click.option(
    "--recipe",
    "--transform",
    "recipe",
    type=click.Choice(list(RECIPES)),
    default=STRETCH.name,
    show_default=True,
    is_eager=True,  # The allowed peers depend on it.
    help=(
        "stretch: the whole image, stretched; train: a random part, mirrored at random, as"
        " normalised floats; eval: the middle."
    ),
)
@options.pixels("Size in pixels: one edge, or height and width.", default="224")
@options.batch_size
@options.count(
    "--workers",
    "Processes or threads that decode, for each contender.  [default: one for each CPU]",
)
@options.count("--rounds", "Number of rounds; every contender is timed once in each.", default=3)
@options.count("--epochs", "Timed epochs in each round, after one to warm up.", default=2)
@options.count("--images", "Number of images to load.  [default: all]")
@click.option(
    "--peers",
    callback=_parse_peers,
    help="Libraries to compare with, such as torch,dali.  [default: all that have the recipe]",
)
@options.decode
@options.scale_margin
@options.output
@click.option(
    "--plot",
    "plot_path",
    type=OutFile(),
    callback=_plot_path,
    help="File for a plot of the figures, such as bench.png.",
)
@options.html
def bench(
    given: str | None,
    recipe: str,
    size: tuple[int, int],
    batch_size: int,
    workers: int | None,
    rounds: int,
    epochs: int,
    images: int | None,
    peers: list[str],
    decode: str,
    scale_margin: float,
    output: Output,
    plot_path: Path | None,
    page_path: Path | None,
) -> None:
    """Compare raybatch with other libraries on the same images.

    IMAGES can be anything that `raybatch load` takes, except packed files. Images in shards or
    Parquet files are first copied to single files in a temporary folder. Without IMAGES, the
    command makes pictures there.

    With --recipe stretch or eval, all contenders read the same files in the same shuffled order;
    only Ray Data may deliver them in another. Before the timing starts, the pixels of each must
    equal those of a plain Pillow loop, bit for bit.

    With --recipe train, each contender works in its fastest way, with its own decoder and order.
    The work is: crop a random part of each image, scale it to --size, mirror it at random,
    normalise it, and give float32 with the channels first. Each contender draws its own pixels, so
    these are compared with a plain loop only in shape, dtype, range, the mean image over many
    draws, the mean of each image, and how much the draws of one image differ.

    Each run is a separate process. After one epoch to warm up, --epochs epochs are timed as a
    whole. A ratio is raybatch's rate divided by the other library's rate in the same round. Memory
    is the peak proportional set size (PSS), summed over all processes of a contender.

    With --decode scaled, raybatch runs a second time with scaled decoding, whose pixels are close
    to the exact ones, but not equal.

    The exit status is 0 on success, 1 if a contender gives wrong pixels, and 2 if an installed
    contender could not run.
    """
    options.check_installed("psutil", EXTRA)
    if page_path is not None:
        options.check_installed("matplotlib", options.HTML_EXTRA)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    workers = workers or len(os.sched_getaffinity(0))
    with (
        given_or_made(output, given, images or _MADE_IMAGES) as named,
        _in_files(named, images) as paths,
    ):
        work = Work(paths, size, batch_size, workers, epochs, scale_margin, RECIPES[recipe])
        figures = _race(output, work, _contenders(recipe, peers, decode), rounds)
    output.show(figures, shown(figures))
    with options.every_write() as write:
        if plot_path is not None:
            from raybatch.bench.plot import plot  # loads matplotlib

            if write(plot, figures, plot_path):
                output.console.print(f"The plot is in {plot_path}")
        if page_path is not None and write(write_bench_page, figures, page_path):
            output.console.print(f"The report is in {page_path}")
    sys.exit(_status(figures))


def _contenders(recipe: str, peers: list[str], decode: str) -> list[Contender]:
    chosen = [each for each in CONTENDERS[recipe] if each.peer in (RAYBATCH, *peers)]
    return [*chosen, SCALED] if decode == "scaled" else chosen


@contextmanager
def _in_files(named: NamedImages, count: int | None) -> Iterator[tuple[str, ...]]:
    """Write `count` images (default: all) to files if needed; give their paths in shuffled order.

    All contenders read the files in this order.
    """
    if named.is_packed:
        raise options.CannotRunError(
            f"{named.given!r} is a packed folder, whose images are already decoded. Give the images"
            " that it was packed from"
        )
    order = np.random.default_rng(_SEED).permutation(len(named))[:count].tolist()
    if named.paths is not None:
        yield tuple(os.path.abspath(named.paths[position]) for position in order)
        return
    images = named.open(named.default_size)
    with tempfile.TemporaryDirectory(prefix="raybatch-") as folder:
        paths = [os.path.join(folder, f"{number:08}") for number in range(len(order))]
        for path, position in zip(paths, order, strict=True):
            Path(path).write_bytes(images.encoded(position))
        yield tuple(paths)


def _race(output: Output, work: Work, contenders: list[Contender], rounds: int) -> dict[str, Any]:
    from raybatch.bench.race import Race  # loads psutil

    race = Race(work, contenders, rounds)
    output.steps(race.steps(), len(race))
    return report(race)


def _status(figures: dict[str, Any]) -> int:
    states = {row["state"] for row in figures["contenders"]}
    if "differs" in states:
        return 1
    return options.CannotRunError.exit_code if "failed" in states else 0

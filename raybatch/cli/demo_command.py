"""`raybatch demo`: a first look at what raybatch does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from raybatch.cli import options
from raybatch.cli.labelled_source import given_or_made, labelled_source
from raybatch.cli.load_command import time_epoch, training_images_per_s
from raybatch.cli.options import ActorOptions
from raybatch.cli.out_paths import picture
from raybatch.cli.output import Output
from raybatch.image.contact_sheet import contact_sheet
from raybatch.loader.loader import Loader
from raybatch.stores.aside import written_aside

_SEED = 12345


@click.command()
@click.argument("given", metavar="[IMAGES]", required=False)
@options.size
@options.batch_size
@options.count("--actors", "Ray actors that load.  [default: one for each CPU]")
@click.option(
    "--contact-sheet",
    "sheet_path",
    type=picture,
    default="raybatch-demo.png",
    show_default=True,
    help="File for a picture of the first batch.",
)
@options.output
def demo(
    given: str | None,
    size: tuple[int, int] | None,
    batch_size: int,
    actors: int | None,
    sheet_path: Path,
    output: Output,
) -> None:
    """Load images with and without Ray actors, and compare the results.

    IMAGES can be anything that `raybatch load` takes. Without it, the command makes 1,000 pictures
    in a temporary folder. The contact sheet shows the first batch, with the random crops that most
    image models are trained with.
    """
    streams = {}
    with given_or_made(output, given) as named:
        size = size or named.default_size
        source, names = labelled_source(named, size)
        images = source.num_samples()
        output.console.print(f"{images} images, classes: {', '.join(names)}")
        trained, _ = labelled_source(named, size, transform="train")
        for title, count in (("Ray actors", actors), ("this process", 0)):
            with ActorOptions(count).pool() as pool:
                with Loader(source, batch_size, shuffle=_SEED, pool=pool) as loader:
                    streams[title] = time_epoch(output, loader, 0)
                with Loader(trained, batch_size, shuffle=_SEED, pool=pool) as loader:
                    streams[title]["training_images_per_s"] = training_images_per_s(loader)
        with Loader(trained, batch_size, shuffle=_SEED) as loader:
            first, labels = next(iter(loader))
        sheet = contact_sheet(first, [names[label] for label in labels])
    is_equal = len({stream["digest"] for stream in streams.values()}) == 1
    figures = {"images": images, "classes": names, "streams": streams, "equal": is_equal}
    output.show({**figures, "contact_sheet": str(sheet_path)}, _shown(streams, is_equal))
    with written_aside(sheet_path) as aside:
        sheet.save(aside)
    output.console.print(f"The first batch is in {sheet_path}")
    if not is_equal:
        raise click.ClickException(
            "the two streams differ: did the files change between the two runs?"
        )


def _shown(streams: dict[str, dict[str, Any]], is_equal: bool) -> Iterator[RenderableType]:
    table = Table("loaded by", "images/s", "first batch", "random crops/s")
    for title, row in streams.items():
        table.add_row(
            title,
            f"{row['images_per_s']:.0f}",
            f"{row['first_batch_s']:.2f} s",
            f"{row['training_images_per_s']:.0f}",
        )
    yield table
    yield "The digests of the two streams, over every pixel and label in order:"
    yield from (Text(f"  {row['digest']}  {title}") for title, row in streams.items())
    if is_equal:
        yield "They are equal: the same images, in the same order, bit for bit."

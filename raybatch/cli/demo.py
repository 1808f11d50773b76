"""`raybatch demo`: the main job, for someone who sees raybatch for the first time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from raybatch.cli import options
from raybatch.cli.folder import folder_source, given_or_made
from raybatch.cli.load import open_loader, time_epoch
from raybatch.image import contact_sheet
from raybatch.sources import ArrayDataSource

_SEED = 12345


@click.command()
@click.argument("directory", type=options.folder, required=False)
@options.size
@options.batch_size
@click.option(
    "--actors",
    type=click.IntRange(min=1),
    default=None,
    help="Ray actors that load.  [default: one for each CPU]",
)
@click.option(
    "--contact-sheet",
    "sheet_path",
    type=options.OutFile(),
    default="raybatch-demo.png",
    show_default=True,
    help="Where to write a picture of the first batch.",
)
@options.as_json
@options.report_errors
def demo(
    directory: str | None,
    size: tuple[int, int],
    batch_size: int,
    actors: int | None,
    sheet_path: Path,
    as_json: bool,
) -> None:
    """Load the images below DIRECTORY with Ray actors, then without, and show that both give the same.

    Without DIRECTORY, 1,000 pictures are made in a temporary folder.
    """
    console = Console(stderr=as_json)
    with given_or_made(console, directory) as folder:
        source, names = folder_source(folder, size)
        images = len(source.data[0])
        console.print(f"{images} images, classes: {', '.join(names)}")
        rows = []
        for title, count in (("Ray actors", actors), ("this process", 0)):
            with open_loader(source, batch_size, _SEED, count) as loader:
                rows.append((title, time_epoch(console, loader, 0)))
        _write_contact_sheet(source, names, batch_size, sheet_path)
    is_equal = rows[0][1]["digest"] == rows[1][1]["digest"]
    if as_json:
        facts = {"images": images, "classes": names, "streams": dict(rows), "equal": is_equal}
        click.echo(json.dumps({**facts, "contact_sheet": str(sheet_path)}, indent=2))
    else:
        _report(console, rows)
        console.print(f"The first batch is in {sheet_path}")
    if not is_equal:
        raise click.ClickException("the two streams differ; did the files change meanwhile?")


def _write_contact_sheet(
    source: ArrayDataSource, names: list[str], batch_size: int, path: Path
) -> None:
    images, labels = next(source.batch_iterator(batch_size, shuffle=_SEED))
    contact_sheet(images, [names[label] for label in labels]).save(path)


def _report(console: Console, rows: list[tuple[str, dict[str, Any]]]) -> None:
    table = Table("loaded by", "images/s", "first batch")
    for title, row in rows:
        table.add_row(title, f"{row['images_per_s']:.0f}", f"{row['first_batch_s']:.2f} s")
    console.print(table)
    console.print("The digests of the two streams, over every pixel and label in their order:")
    for title, row in rows:
        console.print(f"  {row['digest']}  {title}", soft_wrap=True)
    if rows[0][1]["digest"] == rows[1][1]["digest"]:
        console.print("They are equal: the same images, in the same order, bit for bit.")

"""`raybatch scan`: what is in a folder of images, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from raybatch.accessors import find_images, is_packed
from raybatch.accessors.image_facts import FACTS, ImageFacts
from raybatch.cli import options
from raybatch.cli.folder import name_labels
from raybatch.cli.load import open_loader
from raybatch.cli.progress import with_progress
from raybatch.cli.scan_packed import scan_packed
from raybatch.cli.scan_report import ScanReport
from raybatch.sources import ArrayDataSource

_BATCH_SIZE = 32


@click.command()
@click.argument("directory", type=options.folder)
@options.actors
@options.cluster
@options.io_threads
@click.option(
    "--exclude-list",
    type=options.OutFile(),
    help="Write the images that cannot be read to this file, .parquet or .jsonl: a list that `Loader(exclude=)` "
    "takes, for the same files in the same order.",
)
@click.option(
    "--exclude-duplicates",
    is_flag=True,
    help="Put images into the list too whose bytes are those of an earlier one.",
)
@options.as_json
@options.html
@click.option(
    "--size",
    type=options.parse_size,
    metavar="EDGE|HxW",
    default="224",
    show_default=True,
    help="The pixels that you train at, for the advice on the page of --html.",
)
@options.report_errors
def scan(
    directory: str,
    actors: int | None,
    cluster: Mapping[str, Any],
    io_threads: int,
    exclude_list: Path | None,
    exclude_duplicates: bool,
    as_json: bool,
    page_path: Path | None,
    size: tuple[int, int],
) -> None:
    """Decode every image below DIRECTORY; say what there is, and which ones cannot be read.

    Sizes, modes, formats, classes, files of the same bytes, and the mean and standard deviation of each channel, as
    `Normalize` takes them: each image counts the same, its pixels are from 0 to 1.

    Of a folder that `raybatch pack` wrote, every file is compared with its checksum.

    The exit status is 0 if all images can be read, 1 if some cannot, 2 if the scan was not done.
    """
    if exclude_list is not None and exclude_list.suffix not in (".parquet", ".jsonl"):
        raise click.BadParameter(
            f"{str(exclude_list)!r} ends neither in .parquet nor in .jsonl",
            param_hint="--exclude-list",
        )
    if exclude_duplicates and exclude_list is None:
        raise click.UsageError("--exclude-duplicates needs --exclude-list FILE to write them to")
    if page_path is not None:
        options.check_installed("jinja2", options.HTML_EXTRA)
    if "://" not in directory and is_packed(directory):
        for option, given in (("--exclude-list", exclude_list), ("--html", page_path)):
            if given is not None:
                raise click.UsageError(f"{option} is for image files, and these are packed")
        raise SystemExit(options.SOMETHING_BAD if scan_packed(directory, as_json) else 0)
    report = scan_folder(Console(stderr=as_json), directory, actors, cluster, io_threads)
    if exclude_list is not None:
        report.exclusions(duplicates=exclude_duplicates).save(exclude_list)
    if page_path is not None:
        from raybatch.cli.scan_page import write_scan_page  # loads jinja2

        write_scan_page(report, size, page_path)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        console = Console()
        for part in report.tables():
            console.print(part)
    if report.bad:
        raise SystemExit(options.SOMETHING_BAD)


def scan_folder(
    console: Console,
    root: str,
    actors: int | None,
    cluster: Mapping[str, Any] | None = None,
    io_threads: int = 1,
) -> ScanReport:
    """Return what is in the images below `root`, with a progress bar on `console`."""
    paths = find_images(root)
    labels, classes = name_labels(paths, root)
    images = ImageFacts(paths, io_threads=io_threads)
    source = ArrayDataSource([images], include_indices=True)
    indices, facts = [np.empty(0, np.int64)], [np.empty(0, FACTS)]
    with open_loader(source, _BATCH_SIZE, None, actors, cluster, bad_samples="skip") as loader:
        for batch in with_progress(console, "scan", loader, len(paths)):
            indices.append(batch[0])
            facts.append(batch[1])
        bad = loader.bad_samples
    return ScanReport(
        root=root,
        images=images,
        classes=[classes[label] for label in labels],
        indices=np.concatenate(indices),
        facts=np.concatenate(facts),
        bad=bad,
    )

"""`raybatch scan`: what images there are, and which have faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import RenderableType
from rich.text import Text

from raybatch.accessors.image_facts import FACTS, ImageFacts
from raybatch.accessors.manifest import load_manifest
from raybatch.checks import counted
from raybatch.cli import options
from raybatch.cli.class_names import classes_option
from raybatch.cli.image_forms import images_argument, images_named
from raybatch.cli.named_images import NamedImages
from raybatch.cli.options import ActorOptions
from raybatch.cli.out_paths import OutFile
from raybatch.cli.output import Output
from raybatch.cli.scan_advice import advice, shown
from raybatch.cli.scan_page import write_scan_page
from raybatch.cli.scan_report import ScanReport
from raybatch.loader.loader import Loader
from raybatch.making.policy import BadSamples
from raybatch.packing.packed_folder import verify
from raybatch.sources.array import ArrayDataSource
from raybatch.stores.disk_cache import DiskCache

_BATCH_SIZE = 32


@click.command()
@images_argument
@options.workers
@options.io_threads
@classes_option
@click.option(
    "--exclude-list",
    type=OutFile(r"\.parquet|\.jsonl", "must end in .parquet or .jsonl"),
    help=(
        "Write a list of the images that cannot be read to this file (.parquet or .jsonl)."
        " `Loader(exclude=)` and --exclude take it, for the same files in the same order."
    ),
)
@click.option(
    "--exclude-duplicates",
    is_flag=True,
    help="Also list each image that is a copy of an earlier one.",
)
@options.cache
@options.output
@options.html
@options.pixels("The size in pixels that you train at; the advice depends on it.", default="224")
def scan(
    given: str,
    workers: ActorOptions,
    io_threads: int,
    classes: list[str] | None,
    exclude_list: Path | None,
    exclude_duplicates: bool,
    output: Output,
    cache: DiskCache | None,
    page_path: Path | None,
    size: tuple[int, int],
) -> None:
    """Decode every image, and report which cannot be read.

    The report has sizes, modes, formats, classes, files with equal bytes, and the number of files
    left out, by suffix. It also has the mean and standard deviation of each channel for
    `Normalize`, with pixels from 0 to 1; each image counts the same.

    In a folder that `raybatch pack` wrote, the command compares every file with its checksum.

    The exit status is 0 if all images can be read, 1 if some cannot, and 2 if the scan did not
    finish.
    """
    if exclude_duplicates and exclude_list is None:
        raise click.UsageError("--exclude-duplicates needs --exclude-list FILE")
    images = images_named(given, cache)
    if images.is_packed:
        for option, value in (
            ("--exclude-list", exclude_list),
            ("--html", page_path),
            ("--classes", classes),
        ):
            if value is not None:
                raise click.UsageError(f"{option} is for images, but this is a packed folder")
        is_bad = _scan_packed(output, images.given)
    else:
        report = scan_images(output, images, workers, io_threads, classes)
        advised = list(advice(report, size, exclude_list, exclude_duplicates))
        figures = report.as_dict() | {"advice": [one._asdict() for one in advised]}
        output.show(figures, [*report.shown(), *shown(advised)])
        with options.every_write() as write:
            if exclude_list is not None:
                write(report.exclusions(duplicates=exclude_duplicates).save, exclude_list)
            if page_path is not None:
                write(write_scan_page, report, advised, page_path)
        is_bad = len(report.bad) > 0
    if is_bad:
        raise SystemExit(options.SOMETHING_BAD)


def scan_images(
    output: Output,
    images: NamedImages,
    workers: ActorOptions,
    io_threads: int = 1,
    classes: list[str] | None = None,
) -> ScanReport:
    """Scan `images` with a progress bar, and return the report."""
    labels, class_names = images.labelled(classes)
    looked_at = ImageFacts(images.open(images.default_size, io_threads=io_threads))
    source = ArrayDataSource([looked_at], include_indices=True)
    indices, facts = [np.empty(0, np.int64)], [np.empty(0, FACTS)]
    setting = BadSamples("skip", limit=None, tell=output.as_json)
    with (
        workers.pool() as pool,
        Loader(source, _BATCH_SIZE, pool=pool, bad_samples=setting, name="scan") as loader,
    ):
        for batch in output.batches("scan", loader, len(images)):
            indices.append(batch[0])
            facts.append(batch[1])
        bad = loader.bad_samples
    return ScanReport(
        named=images,
        images=looked_at,
        labels=labels,
        class_names=class_names,
        indices=np.concatenate(indices),
        facts=np.concatenate(facts),
        bad=bad,
    )


def _scan_packed(output: Output, directory: str) -> bool:
    """Check the checksums of the packed files in `directory`, and show which files are damaged.

    Return whether any file is damaged.
    """
    manifest = load_manifest(Path(directory))
    columns = manifest.columns
    faults = [fault._asdict() for fault in verify(directory)]
    figures = {
        "packed": manifest.rows,
        "files": len(manifest.files),
        "bytes": sum(file.nbytes for file in manifest.files),
        "columns": {each.name: {"dtype": each.dtype, "shape": each.shape} for each in columns},
        "classes": manifest.classes,
        "faults": faults,
    }
    output.show(figures, _shown(figures))
    return bool(faults)


def _shown(figures: dict[str, Any]) -> Iterator[RenderableType]:
    columns = ", ".join(
        f"{name} {np.dtype(column['dtype']).name} {column['shape']}"
        for name, column in figures["columns"].items()
    )
    samples = counted(figures["packed"], "packed sample")
    yield f"{samples} in {counted(figures['files'], 'file')}: {columns}"
    faults = figures["faults"]
    yield from (Text(f"{fault['path']}: {fault['reason']}") for fault in faults)
    yield (
        f"damaged: {counted(len(faults), 'file')}. Remove all damaged files and pack again; only"
        " those are written again"
        if faults
        else "all checksums are right"
    )

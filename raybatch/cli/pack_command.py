"""`raybatch pack`: decode images once, into Arrow files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from raybatch.checks import counted
from raybatch.cli import options
from raybatch.cli.class_names import classes_option
from raybatch.cli.image_cache import cache_options
from raybatch.cli.image_forms import images_argument, images_named
from raybatch.cli.labelled_source import labelled_source
from raybatch.cli.options import ActorOptions
from raybatch.cli.out_paths import out_folder
from raybatch.cli.output import Output, listed
from raybatch.making.policy import BadSamples
from raybatch.packing.packer import Packed
from raybatch.packing.packer import pack as pack_source
from raybatch.sources.batch import Batch
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.url_files import is_url


@click.command()
@images_argument
@click.argument("out", type=out_folder)
@options.size
@options.batch_size
@options.count(
    "--rows-per-file", "Images in each file, rounded up to whole batches.  [default: about 256 MB]"
)
@options.bad_samples
@options.workers
@classes_option
@options.reading
@cache_options
@options.output
def pack(
    given: str,
    out: Path,
    size: tuple[int, int] | None,
    batch_size: int,
    rows_per_file: int | None,
    bad_samples: str,
    workers: ActorOptions,
    output: Output,
    cache: DiskCache | None,
    **reading: Any,
) -> None:
    """Decode images once, into Arrow files that load fast.

    The files go to the folder OUT; read them with `PackedAccessor(OUT)`.

    After an interruption, the same command continues where it stopped. `raybatch scan OUT` finds
    damaged files by their checksums.

    The exit status is 0 if all images are packed, 1 if some were left out, and 2 if packing did not
    finish.
    """
    # Absolute paths stay the same when the command is repeated from another folder.
    is_relative = given and not is_url(given)
    images = images_named(os.path.abspath(given) if is_relative else given, cache)
    source, classes = labelled_source(images, size or images.default_size, **reading)

    def progress(batches: Iterable[Batch], total: int, leave: bool) -> Iterable[Batch]:
        return output.batches("pack", batches, total * batch_size)

    started = time.perf_counter()
    with workers.pool() as pool:
        done = pack_source(
            source,
            out,
            classes=classes,
            batch_size=batch_size,
            rows_per_file=rows_per_file,
            pool=pool,
            bad_samples=BadSamples(bad_samples, tell=output.as_json),
            progress_iter_func=progress,
        )
    seconds = time.perf_counter() - started
    bad = listed(done.bad_samples, "index", "path", "message")
    figures = {**done._asdict(), "bad_samples": bad, "seconds": round(seconds, 3)}
    output.show(figures, _shown(done, seconds))
    if len(done.bad_samples):
        raise SystemExit(options.SOMETHING_BAD)


def _shown(done: Packed, seconds: float) -> Iterator[RenderableType]:
    yield (
        f"{counted(done.rows, 'image')}, {done.nbytes / 1e6:.1f} MB in {done.directory};"
        f" {counted(done.files_written, 'file')} written in {seconds:.1f} s"
    )
    for bad in done.bad_samples:
        yield Text(f"left out: {bad.description}")

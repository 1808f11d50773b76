"""`raybatch preview`: the first images of an epoch, as the loader would deliver them, on one picture."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
from rich.console import Console

from raybatch.accessors import NonUniformImageFileAccessor, find_images
from raybatch.cli import options
from raybatch.cli.folder import folder_source, name_labels
from raybatch.image import contact_sheet
from raybatch.loader import Loader
from raybatch.sources import ArrayDataSource, BadSampleLedger, DataSource

_LARGEST_EDGE = 256


def imported(value: str) -> Callable[..., Any]:
    """Return the function that `FILE.py:NAME` or `package.module:NAME` is."""
    where, _, name = value.rpartition(":")
    if not where:
        raise click.BadParameter(f"{value!r} is neither FILE.py:NAME nor package.module:NAME")
    try:
        found: Callable[..., Any] = getattr(_module(where), name)
    except (ImportError, OSError, AttributeError) as error:
        raise click.BadParameter(f"{value!r} cannot be imported: {error}") from error
    if not callable(found):
        raise click.BadParameter(f"{value!r} is a {type(found).__name__}, not a function")
    return found


def _module(where: str) -> ModuleType:
    if not where.endswith(".py"):
        sys.path.insert(0, "")
        return importlib.import_module(where)
    spec = importlib.util.spec_from_file_location(Path(where).stem, where)
    assert spec is not None  # as for every name that ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@click.command()
@click.argument("directory", type=options.folder)
@click.option(
    "--out",
    type=options.OutFile(),
    default="preview.png",
    show_default=True,
    help="Where to write the picture; the suffix says in which format.",
)
@click.option(
    "--images", type=click.IntRange(min=1), default=64, show_default=True, help="How many to show."
)
@click.option(
    "--size",
    type=options.parse_size,
    metavar="EDGE|HxW",
    help="Pixels: one edge, or height and width.  [default: 224, or with --augment as stored]",
)
@options.shuffle
@click.option(
    "--epoch",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Each has its own order and its own random numbers.",
)
@click.option(
    "--augment",
    type=imported,
    metavar="FILE.py:NAME",
    help="Show what this makes of each image: an augmentation of raybatch.image.augment, or a function "
    "(image, rng=) that returns one. The image is a Pillow image, or an array if there is a --size.",
)
@options.exclude
@options.reading
@options.as_json
@options.report_errors
def preview(
    directory: str,
    out: Path,
    images: int,
    size: tuple[int, int] | None,
    shuffle: int | None,
    epoch: int,
    augment: Callable[..., Any] | None,
    exclude: BadSampleLedger | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Write a contact sheet of the first images that the loader would deliver of DIRECTORY, with their labels.

    What cannot be read is left out, and named.
    """
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise click.BadParameter(
            f"{str(out)!r} does not end in .png, .jpg or .webp", param_hint="--out"
        )
    source, names = _source(directory, size, augment, exclude, reading)
    with Loader(source, images, shuffle=shuffle, bad_samples="skip") as loader:
        loader.set_epoch(epoch)
        shown, labels = next(iter(loader), ([], []))
        bad = loader.bad_samples
    console = Console(stderr=as_json)
    for sample in bad:
        console.print(sample.message, style="red", markup=False, soft_wrap=True)
    if len(shown) == 0:
        raise click.ClickException("none of the images can be shown")
    texts = [names[label] for label in labels]
    contact_sheet(shown, texts, largest_edge=_LARGEST_EDGE).save(out)
    if as_json:
        left_out = [
            {"index": each.index, "path": each.path, "message": each.message} for each in bad
        ]
        click.echo(json.dumps({"out": str(out), "labels": texts, "left_out": left_out}, indent=2))
    else:
        console.print(f"{len(shown)} images are in {out}", markup=False, soft_wrap=True)


def _source(
    root: str,
    size: tuple[int, int] | None,
    augment: Callable[..., Any] | None,
    exclude: BadSampleLedger | None,
    reading: dict[str, Any],
) -> tuple[DataSource, list[str]]:
    """Return a source of (image, label), and the names of the labels."""
    if augment is None:
        return folder_source(root, size or (224, 224), exclude, **reading)
    if size is not None:
        source, names = folder_source(root, size, exclude, **reading)
    else:
        paths = find_images(root)
        labels, names = name_labels(paths, root)
        stored = NonUniformImageFileAccessor(paths, **reading)
        source = ArrayDataSource([stored, labels], exclude=exclude)

    def augmented(image: Any, label: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        return augment(image, rng=rng), label

    return source.map_samples(augmented), names

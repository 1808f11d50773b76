"""`raybatch preview`: draw images as the loader would deliver them, on one picture."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.text import Text

from raybatch.checks import counted
from raybatch.cli import options
from raybatch.cli.class_names import classes_option
from raybatch.cli.drawn_targets import Shown
from raybatch.cli.image_cache import cache_options
from raybatch.cli.image_forms import images_argument, images_named
from raybatch.cli.labelled_source import labelled_source
from raybatch.cli.out_paths import picture
from raybatch.cli.output import Output, listed
from raybatch.image.contact_sheet import contact_sheet
from raybatch.loader.loader import Loader
from raybatch.making.policy import BadSamples
from raybatch.order.rows import Rows
from raybatch.order.seeds import RandomKeys, seed_of
from raybatch.order.standard import SubsetSampler
from raybatch.sources.mapped import SampleMapDataSource
from raybatch.sources.source import DataSource
from raybatch.stores.aside import written_aside
from raybatch.stores.disk_cache import DiskCache

_LARGEST_EDGE = 256


def imported(value: str) -> Callable[..., Any]:
    """Return the function that `FILE.py:NAME` or `package.module:NAME` names."""
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
    assert spec is not None  # Every name that ends in .py is a file.
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@click.command()
@images_argument
@click.option(
    "--out",
    type=picture,
    default="preview.png",
    show_default=True,
    help="File for the picture; its suffix chooses the format.",
)
@options.count("--images", "Number of images to show.", default=64)
@options.pixels(
    "Size in pixels: one edge, or height and width.  [default: 224, or as packed; as stored with"
    " --augment or --boxes]",
    default=None,
)
@options.shuffle
@options.count(
    "--epoch", "The epoch to show; each has its own order and random numbers.", default=0, least=0
)
@click.option(
    "--augment",
    type=imported,
    metavar="FILE.py:NAME",
    help=(
        "Change each image with this augmentation of raybatch.image.augment, or this function,"
        " which is called as (image, rng=) and returns an image. The image is Pillow's, or an array"
        " if --size is given."
    ),
)
@options.transform
@click.option(
    "--masks",
    type=click.Path(exists=True, file_okay=False),
    metavar="DIR",
    help=(
        "Draw masks from this folder into the images: PNG files of class numbers, named like the"
        " images. --augment is called as (image, mask=, rng=), and must return (image, mask)."
    ),
)
@click.option(
    "--boxes",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help=(
        "Draw boxes from this COCO JSON file into the images. They are in pixels of the stored"
        " images. --augment gets boxes= and labels= too, and must return them."
    ),
)
@options.count("--draws", "Number of random draws of each image to show, side by side.", default=1)
@classes_option
@options.reading
@cache_options
@options.output
def preview(
    given: str,
    out: Path,
    images: int,
    size: tuple[int, int] | None,
    shuffle: int | None,
    epoch: int,
    augment: Callable[..., Any] | None,
    transform: str | None,
    masks: str | None,
    boxes: str | None,
    draws: int,
    output: Output,
    cache: DiskCache | None,
    **reading: Any,
) -> None:
    """Draw some images on one picture, as the loader gives them.

    With --shuffle, they are the first images of --epoch. Without it, they are spread evenly over
    all images, and so over the classes. The text below each image has its index, class and name.
    With --draws, each image is shown several times, as the next epochs draw it. Images that cannot
    be read are left out and named.
    """
    named = images_named(given, cache)
    if boxes is not None and (size or transform):
        raise click.UsageError(
            "--boxes are in pixels of the stored images. --augment moves them, but --size and"
            " --transform do not"
        )
    if (augment is None and boxes is None) or transform is not None:
        size = size or named.default_size
    stored, names = labelled_source(
        named, size, transform=transform, masks=masks, boxes=boxes, **reading
    )
    if shuffle is None:
        left_out = [sample.index for sample in reading["exclude"] or ()]
        stored.sampler = SubsetSampler(_spread(len(named), left_out, images))
    stored.include_indices = True
    targets = ("mask",) * bool(masks) + ("boxes", "labels") * bool(boxes)
    source: DataSource = stored
    if augment is not None or targets:
        source = SampleMapDataSource(stored, Shown(augment, targets))
    with Loader(
        source, images, **options.shuffled(shuffle), bad_samples=BadSamples("skip", limit=None)
    ) as loader:
        loader.set_epoch(epoch)
        indices, shown, labels = next(iter(loader), (np.empty(0, np.intp), [], []))
        bad = loader.bad_samples
    for sample in bad:
        output.console.print(Text(sample.description, "red"), soft_wrap=True)
    if len(shown) == 0:
        raise click.ClickException("no image can be shown")
    columns: list[Any] = [shown]
    for later in range(epoch + 1, epoch + draws):
        keys = RandomKeys(seed_of(shuffle), later, 0)
        columns.append(source.read(Rows.of(indices), keys)[1])
    rows = [image for row in zip(*columns, strict=True) for image in row]
    texts = [names[label] for label in labels]
    paths = [stored.path_of(index) or "" for index in indices.tolist()]
    captions = [
        f"{index} {text}\n{PurePath(path).name}".rstrip("\n")
        for index, text, path in zip(indices.tolist(), texts, paths, strict=True)
        for _ in columns
    ]
    sheet = contact_sheet(rows, captions, draws if draws > 1 else None, _LARGEST_EDGE)
    with written_aside(out) as aside:
        sheet.save(aside)
    figures = {
        "out": str(out),
        "indices": indices.tolist(),
        "labels": texts,
        "paths": paths,
        "left_out": listed(bad, "index", "path", "message"),
    }
    output.show(figures, [Text(f"{out} shows {counted(len(shown), 'image')}")])


def _spread(length: int, left_out: list[int], count: int) -> npt.NDArray[np.intp]:
    """Return up to `count` evenly spread numbers below `length` that are not in `left_out`."""
    kept = np.setdiff1d(np.arange(length), left_out)
    chosen: npt.NDArray[np.intp] = kept[
        np.linspace(0, len(kept) - 1, min(count, len(kept))).astype(int)
    ]
    return chosen

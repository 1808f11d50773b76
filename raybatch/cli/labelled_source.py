"""The images of a command as a source with labels, or pictures that are made for it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raybatch.cli.drawn_targets import coco_boxes, mask_paths
from raybatch.cli.image_forms import image_files, images_named
from raybatch.cli.named_images import NamedImages
from raybatch.cli.options import CannotRunError
from raybatch.cli.output import Output
from raybatch.cli.photos import make_photos
from raybatch.order.blocks import BlockShuffleSampler
from raybatch.sources.array import ArrayDataSource
from raybatch.stores.location import Location

_MADE_IMAGES = 1000


@contextmanager
def given_or_made(
    output: Output, given: str | None, count: int = _MADE_IMAGES
) -> Iterator[NamedImages]:
    """Give the images that `given` names.

    If it is None, make `count` pictures in a temporary folder.
    """
    if given is not None:
        yield images_named(given)
        return
    with tempfile.TemporaryDirectory(prefix="raybatch-") as folder:
        started = time.perf_counter()
        make_photos(Path(folder), count)
        seconds = time.perf_counter() - started
        output.console.print(f"made {count} pictures in {seconds:.1f} s")
        yield images_named(folder)


def labelled_source(
    images: NamedImages,
    size: tuple[int, int] | None,
    exclude: Any = None,
    transform: str | None = None,
    classes: Sequence[str] | None = None,
    masks: str | None = None,
    boxes: str | None = None,
    row_groups: int = 4,
    **reading: Any,
) -> tuple[ArrayDataSource, list[str]]:
    """Return a source of (image, label) over `images`, and the class names: `classes`, if given.

    With `size=None`, images keep their stored size. `transform` names a preset that brings them to
    `size`. With a folder of `masks`, each sample gets its image's mask; with a file of `boxes`, it
    gets boxes and their classes. Images in row groups are shuffled in blocks of `row_groups`.
    """
    sampler = None
    if images.blocks is not None:
        if masks is not None or boxes is not None:
            raise CannotRunError(
                f"--{'boxes' if masks is None else 'masks'} needs images with names, and those in"
                f" {images.form} have none"
            )
        reading["row_groups"] = row_groups
        sampler = BlockShuffleSampler(images.blocks, row_groups)
    labels, names = images.labelled(classes)
    members = [images.open(size, transform, **reading), labels]
    if masks is not None:
        below = mask_paths(images.names, masks)
        # The mode is that of the images, except where it has one channel for many classes.
        if not str(reading.get("mode")).startswith("I"):
            reading.pop("mode", None)
        members.append(
            image_files(masks, Location(masks), below).open(size, transform, mask=True, **reading)
        )
    if boxes is not None:
        members.extend(coco_boxes(images.names, images.given, boxes))
    try:
        return ArrayDataSource(members, sampler=sampler, exclude=exclude), names
    except (IndexError, ValueError) as error:
        if exclude is None:
            raise
        why = str(error)
        if isinstance(error, IndexError):
            most = max(sample.index for sample in exclude)
            why = (
                f"it has image {most}, but the last one here is {len(labels) - 1}: make a new list"
                " from these files, in this order"
            )
        raise CannotRunError(
            f"the list given to --exclude does not fit these images: {why}"
        ) from error

"""A folder of images, the one that was given or a made one, as a source with labels."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors import ImageFileAccessor, NonUniformImageFileAccessor, find_images
from raybatch.cli.drawn_targets import coco_boxes, mask_paths
from raybatch.cli.options import CannotRunError
from raybatch.cli.output import Output
from raybatch.cli.photos import make_photos
from raybatch.image.augment.presets import PRESETS
from raybatch.sources import ArrayDataSource
from raybatch.stores.class_labels import class_labels
from raybatch.stores.location import Location

_MADE_IMAGES = 1000


@contextmanager
def given_or_made(
    output: Output, directory: str | None, count: int = _MADE_IMAGES
) -> Iterator[str]:
    """Give `directory`, or for None a temporary folder with `count` pictures that are made now."""
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="raybatch-") as folder:
        started = time.perf_counter()
        make_photos(Path(folder), count)
        seconds = time.perf_counter() - started
        output.console.print(f"made {count} pictures in {seconds:.1f} s")
        yield folder


def folder_source(
    root: str | os.PathLike[str],
    size: tuple[int, int] | None,
    exclude: Any = None,
    transform: str | None = None,
    classes: Sequence[str] | None = None,
    masks: str | None = None,
    boxes: str | None = None,
    **reading: Any,
) -> tuple[ArrayDataSource, list[str]]:
    """Return a source of (image, label) over the images below `root`, and the names of the labels: `classes`, if given.

    `size` None is for images as they are stored. With the name of a `transform` they come to the size that way. A folder of
    `masks` adds that of each image to its sample, and a file of `boxes` adds boxes and their classes.
    """
    paths = find_images(root)
    labels, names = name_labels(paths, root, classes)
    members = [_images(paths, size, transform, **reading), labels]
    if masks is not None:
        members.append(
            _images(mask_paths(paths, root, masks), size, transform, mask=True, **reading)
        )
    if boxes is not None:
        members.extend(coco_boxes(paths, root, boxes))
    return ArrayDataSource(members, exclude=exclude), names


def _images(
    paths: list[str], size: tuple[int, int] | None, transform: str | None, **reading: Any
) -> Any:
    if size is None:
        return NonUniformImageFileAccessor(paths, **reading)
    if transform is not None:
        return ImageFileAccessor(paths, transform=PRESETS[transform](size), **reading)
    return ImageFileAccessor(paths, size=size, **reading)


def name_labels(
    paths: list[str], root: str | os.PathLike[str], classes: Sequence[str] | None = None
) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return a label for each path, and the labels' names: the folder's, or else the file's prefix.

    `classes` fixes the numbers. Without it, a class folder without images has one too, unless there are images beside
    these folders. CannotRunError for a class that `classes` lacks.
    """
    folder = Location(root)
    names = [Location(path).name_below(folder) for path in paths]
    try:
        labels, in_order = class_labels(names, folder, classes)
    except ValueError as error:
        raise CannotRunError(str(error)) from error
    return labels.astype(np.int32), in_order

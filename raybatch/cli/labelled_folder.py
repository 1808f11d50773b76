"""A folder of images, the one that was given or a made one, as a source with labels."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors import ImageFileAccessor, NonUniformImageFileAccessor, find_images
from raybatch.cli.output import Output
from raybatch.cli.photos import make_photos
from raybatch.image.augment.presets import PRESETS
from raybatch.sources import ArrayDataSource
from raybatch.stores.listing import class_of
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
    **reading: Any,
) -> tuple[ArrayDataSource, list[str]]:
    """Return a source of (image, label) over the images below `root`, and the names of the labels.

    `size` None is for images as they are stored. With the name of a `transform` they come to the size that way.
    """
    paths = find_images(root)
    labels, names = name_labels(paths, root)
    if size is None:
        images: Any = NonUniformImageFileAccessor(paths, **reading)
    elif transform is not None:
        images = ImageFileAccessor(paths, transform=PRESETS[transform](size), **reading)
    else:
        images = ImageFileAccessor(paths, size=size, **reading)
    return ArrayDataSource([images, labels], exclude=exclude), names


def name_labels(
    paths: list[str], root: str | os.PathLike[str]
) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return a label for each path, and the labels' names: the folder's, or else the file's prefix."""
    folder = Location(root)
    classes = [_class_name(Location(path).name_below(folder)) for path in paths]
    names, labels = np.unique(classes, return_inverse=True)
    return labels.astype(np.int32), [str(name) for name in names]


def _class_name(name: str) -> str:
    prefix = re.match(r"[^\W\d_]+", name)
    return class_of(name) or (prefix.group() if prefix else "image")

"""The image files of a folder, here or anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raybatch.accessors.image_list import ImageList
from raybatch.accessors.paths import joined, path_array
from raybatch.accessors.redaction import redacted
from raybatch.accessors.storage import Store, open_store

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".avif",
        ".jp2",
        ".j2k",
        ".ppm",
        ".pgm",
        ".pbm",
    ]
)


def find_images(root: str | os.PathLike[str], *, filesystem: Any = None) -> list[str]:
    """Return the paths of all image files below `root`, told by their suffix, sorted; links are followed.

    `root` is a folder or a URL of one, or a folder in `filesystem`, as for `ImageFileAccessor`.
    NotADirectoryError if `root` is no folder here, FileNotFoundError if there is no image below it.
    """
    store = open_store(filesystem)
    folder = os.fspath(root)
    return [path for names in _runs(store, folder) for path in store.join(folder, names)]


def image_folder(root: str | os.PathLike[str], *, filesystem: Any = None) -> ImageList:
    """Return the paths, labels and class names of a tree with one folder for each class.

    Paths are those of `find_images`, sorted; the label of an image, int64 `(n,)`, is the position of the first
    folder below `root` on its way in the sorted list of class names.

        paths, labels, classes = image_folder(root)

    ValueError for an image that lies in no such folder, and the errors of `find_images`.
    """
    store = open_store(filesystem)
    folder = os.fspath(root)
    paths: list[pa.Array] = []
    labels: list[npt.NDArray[np.int64]] = []
    numbers: dict[str, int] = {}  # of the classes, as they come
    for names in _runs(store, folder):
        for name in names:
            if "/" not in name:
                path = redacted(store.join(folder, [name])[0])
                raise ValueError(f"{path!r} lies in no class folder below {redacted(folder)!r}")
        own = [name.partition("/")[0] for name in names]
        labels.append(np.array([numbers.setdefault(one, len(numbers)) for one in own], np.int64))
        paths.append(path_array(store.join(folder, names)))
    classes = sorted(numbers)
    label_of = {name: label for label, name in enumerate(classes)}
    in_order = np.array([label_of[name] for name in numbers], dtype=np.int64)
    return ImageList(joined(paths), in_order[np.concatenate(labels)], classes)


def _runs(store: Store, folder: str) -> Iterator[list[str]]:
    """Iterate over runs of the names of the images below `folder`, none of them empty."""
    is_empty = True
    for names in store.below(folder):
        images = [name for name in names if _is_image(name)]
        if images:
            is_empty = False
            yield images
    if is_empty:
        raise FileNotFoundError(f"no image files below {redacted(folder)!r}")


def _is_image(name: str) -> bool:
    dot = name.rfind(".")
    # A name that begins with its only dot has no suffix.
    return dot > 0 and name[dot - 1] != "/" and name[dot:].lower() in IMAGE_SUFFIXES

"""The image files of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

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


def find_images(root: str | os.PathLike[str]) -> list[str]:
    """Return the paths of all image files below `root`, told by their suffix, sorted; links are followed.

    NotADirectoryError if `root` is none, FileNotFoundError if there is no image below it.
    """
    if not Path(root).is_dir():
        raise NotADirectoryError(f"not a directory: {os.fspath(root)!r}")
    paths = [
        os.path.join(folder, name)
        for folder, names in _folders(root)
        for name in names
        if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
    ]
    if not paths:
        raise FileNotFoundError(f"no image files below {os.fspath(root)!r}")
    return sorted(paths)


def image_folder(
    root: str | os.PathLike[str],
) -> tuple[list[str], npt.NDArray[np.int64], list[str]]:
    """Return the paths, labels and class names of a tree with one folder for each class.

    Paths are sorted; the label of an image, int64 `(n,)`, is the position of the first folder below `root`
    on its way in the sorted list of class names. ValueError for an image that lies in no such folder.
    """
    paths = find_images(root)
    folders = [os.path.relpath(path, root).split(os.sep) for path in paths]
    for path, parts in zip(paths, folders, strict=True):
        if len(parts) < 2:
            raise ValueError(f"{path!r} lies in no class folder below {os.fspath(root)!r}")
    classes = sorted({parts[0] for parts in folders})
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of[parts[0]] for parts in folders], dtype=np.int64)
    return paths, labels, classes


def _folders(root: str | os.PathLike[str]) -> Iterator[tuple[str, list[str]]]:
    """Iterate over the folders below `root` and the names of their files; each folder once."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        yield folder, names

"""The class of an image, from its path: one rule for folders, patterns and commands."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.notices import tell
from raybatch.stores.folder_levels import FolderLevels
from raybatch.stores.image_list import ImageList
from raybatch.stores.listing import all_classes, class_of, find_images, numbered
from raybatch.stores.location import Location
from raybatch.stores.paths import path_array, path_names
from raybatch.stores.patterns import fixed_part, image_glob

_LETTERS = re.compile(r"[^\W\d_]+")


def labelled_images(
    root: str | os.PathLike[str], *, classes: Sequence[str] | None = None, filesystem: Any = None
) -> ImageList:
    """Return the images below `root`, a folder or a pattern, with the labels of `class_labels`.

    If the file names decide the classes, one line on the standard error says so. ValueError for an
    image beside class folders and, without `classes`, for file names that give a single class or
    folders named as parts of a data set, such as train and val; and the errors of `class_labels`,
    `find_images` and `image_glob`.
    """
    start = fixed_part(root, filesystem)
    if start is None:
        folder = Location(root, filesystem)
        paths = find_images(root, filesystem=filesystem)
    else:
        folder = start
        paths = path_names(image_glob(root, filesystem=filesystem))
    names = [Location(path, filesystem).name_below(folder) for path in paths]
    strays = [number for number, name in enumerate(names) if not class_of(name)]
    if strays and len(strays) < len(names):
        stray = str(Location(paths[strays[0]], filesystem))
        raise ValueError(
            f"{stray!r} lies beside the class folders in {folder!r}, not in one of them: "
            "move it, or give a pattern such as '*/*.jpg'"
        )
    if not strays and classes is None:
        levels = FolderLevels(folder)
        levels.add(names)
        levels.check()
    labels, in_order = class_labels(names, folder if start is None else None, classes)
    if strays and classes is None and len(in_order) == 1:
        raise ValueError(
            f"no image in {folder!r} lies in a class folder, and the file names, such as"
            f" {names[0]!r}, have no classes either. Make a folder for each class, or read the"
            " images without labels:"
            " rb.ArrayDataSource([rb.ImageFileAccessor(rb.image_glob('folder/*'), size)])"
        )
    if strays:
        tell(
            f"no image in {folder!r} lies in a class folder, so the first letters of the file names"
            f" are the classes: {len(in_order)},"
            f" {', '.join(map(repr, in_order[:5]))}{', ...' if len(in_order) > 5 else ''}"
        )
    return ImageList(path_array(paths), labels, in_order)


def class_labels(
    names: Sequence[str], folder: Location | None = None, classes: Sequence[str] | None = None
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return the label of each of the image files `names`, int64 `(n,)`, and the class names.

    Names are relative to `folder`. The class of an image is the first folder in its name, or else
    the letters at the start of its name. `classes` fixes the numbers. Without it the classes are
    sorted; if all images lie in class folders, folders without images count too. ValueError for a
    class that `classes` lacks or names twice.
    """
    folders = folder if all(map(class_of, names)) else None
    return numbered_labels([class_name(name) for name in names], folders, classes)


def numbered_labels(
    own: Sequence[str], folder: Location | None = None, classes: Sequence[str] | None = None
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return the numbers of the classes `own`, int64 `(n,)`, and the names of all classes.

    `classes` fixes the numbers. Without it the classes are sorted, and include all folders in
    `folder`. ValueError for a class that `classes` lacks or names twice.
    """
    if classes is not None:
        in_order = numbered(classes, set(own))
    elif folder is not None:
        in_order = all_classes(folder, set(own))
    else:
        in_order = sorted(set(own))
    label_of = {name: label for label, name in enumerate(in_order)}
    return np.array([label_of[name] for name in own], np.int64), in_order


def class_name(name: str) -> str:
    """Return the class of the image file `name`; "image" if it has neither folder nor letters."""
    letters = _LETTERS.match(name)
    return class_of(name) or (letters.group() if letters else "image")

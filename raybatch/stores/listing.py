"""Lists the images below a folder, here or at a URL: paths, classes, and the files left out."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raybatch.checks import in_order
from raybatch.notices import tell
from raybatch.stores.folder_levels import FolderLevels
from raybatch.stores.image_list import ImageList
from raybatch.stores.location import Location
from raybatch.stores.paths import joined, path_array

# A name whose only dot comes first has no suffix.
_IMAGE = re.compile(
    r"[^/]\.(?:jpe?g|jpe|jfif|png|webp|gif|bmp|dib|tiff?|avif|jp2|j2k|p[pgb]m)\Z",
    re.IGNORECASE | re.ASCII,
)
# Text files, which nobody takes for images.
_TEXT = re.compile(
    r"\.(?:txt|md|rst|csv|tsv|jsonl?|xml|ya?ml|html?|log|ini|db|py|sh)\Z", re.IGNORECASE
)
_MOST_SUFFIXES = 5


@dataclass
class Search:
    """A search for the images below `folder`; `runs` iterates over them.

    `left_out` counts the other files by suffix. Text files, which lie beside many images, are not
    counted. `example` is the name of one of the other files.
    """

    folder: Location
    left_out: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def runs(self) -> Iterator[list[str]]:
        """Iterate over non-empty runs of the names of images; FileNotFoundError without any."""
        is_empty = True
        for names in self.folder.below():
            images = [name for name in names if _IMAGE.search(name)]
            if len(images) < len(names):
                self._leave_out([name for name in names if not _IMAGE.search(name)])
            if images:
                is_empty = False
                yield images
        if is_empty:
            others = f"; there are {left_out_text(self.left_out)}" if self.left_out else ""
            raise FileNotFoundError(f"no image files below {self.folder!r}{others}")

    def paths(self) -> list[str]:
        """Return the paths of the images."""
        return [path for names in self.runs() for path in self.folder.join(names)]

    def tell(self) -> None:
        """Log what was left out, if anything was."""
        if not self.left_out:
            return
        tell(
            f"left out below {self.folder!r}, because their suffixes are not those of images:"
            f" {left_out_text(self.left_out)}; one is {self.example!r}. Convert or rename those"
            " that are images"
        )

    def _leave_out(self, names: list[str]) -> None:
        for name in names:
            if not _TEXT.search(name):
                self.example = self.example or name
                self.left_out[_suffix(name)] += 1


def left_out_text(left_out: Mapping[str, int]) -> str:
    """Return the numbers of files by suffix, such as `3 .heic, 1 without a suffix`."""
    counts = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in counts]
    more = sum(count for _, count in counts[_MOST_SUFFIXES:])
    return ", ".join(shown[:_MOST_SUFFIXES] + ([f"{more:,} others"] if more else []))


def find_images(root: str | os.PathLike[str], *, filesystem: Any = None) -> list[str]:
    """Return the paths of all image files below `root`, sorted; links are followed.

    The suffix of a file decides whether it is an image. `root` is a folder or a URL of one, or a
    folder in `filesystem`, as for `ImageFileAccessor`. Hidden names are left out: those that begin
    with a dot, and those that systems leave behind, such as `__MACOSX`. One line, logged or on the
    standard error, counts the files with other suffixes, such as .heic; text files are not counted.

    FileNotFoundError if there is no `root` or no image below it, NotADirectoryError if `root` is a
    file.
    """
    search = Search(Location(root, filesystem))
    paths = search.paths()
    search.tell()
    return paths


def image_folder(
    root: str | os.PathLike[str], *, classes: Sequence[str] | None = None, filesystem: Any = None
) -> ImageList:
    """Return the paths, labels and class names of a tree with one folder for each class.

    Paths are those of `find_images`, sorted. The label of an image, int64 `(n,)`, is the position
    of its class in `classes`; its class is the first folder on its path below `root`. By default
    `classes` are the names of all folders in `root`, sorted. Those without images are included, and
    logged once. If a split can lack a class, pass it the classes of another split:

        paths, labels, classes = image_folder("train")
        validation = image_folder("validation", classes=classes)

    ValueError for an image that is in no class folder or in one that `classes` lacks, for a class
    that is named twice, and, without `classes`, for folders named as parts of a data set, such as
    train and val; and the errors of `find_images`.
    """
    search = Search(Location(root, filesystem))
    folder = search.folder
    paths: list[pa.Array] = []
    labels: list[npt.NDArray[np.int64]] = []
    numbers: dict[
        str, int
    ] = {}  # temporary numbers of the classes, in the order of their first image
    levels = FolderLevels(folder)
    for names in search.runs():
        own = list(map(class_of, names))
        if "" in own:
            path = Location(folder.join([names[own.index("")]])[0])
            raise ValueError(
                f"{path!r} lies in no class folder below {folder!r}: move it into one. Images"
                " without classes are listed by find_images and image_glob"
            )
        levels.add(names)
        labels.append(np.array([numbers.setdefault(one, len(numbers)) for one in own], np.int64))
        paths.append(path_array(folder.join(names)))
    if classes is None:
        levels.check()
    in_order = all_classes(folder, numbers) if classes is None else numbered(classes, numbers)
    search.tell()
    label_of = {name: label for label, name in enumerate(in_order)}
    as_given = np.array([label_of[name] for name in numbers], dtype=np.int64)
    return ImageList(joined(paths), as_given[np.concatenate(labels)], in_order)


def is_image_name(name: str) -> bool:
    """Return whether the file `name` has the suffix of an image."""
    return _IMAGE.search(name) is not None


def class_of(name: str) -> str:
    """Return the class of the file `name`: its first folder, "" if it is in none."""
    first, mark, _ = name.partition("/")
    return first if mark else ""


def all_classes(folder: Location, found: Collection[str]) -> list[str]:
    """Return the names of the folders in `folder`, sorted; log those without images.

    `found` are the names of those with images.
    """
    names = sorted({*found, *folder.folders()})
    if empty := [name for name in names if name not in found]:
        tell(
            f"{len(empty)} of the {len(names)} class folders in {folder!r} hold no images, but keep"
            f" their numbers: {', '.join(map(repr, empty))}"
        )
    return names


def numbered(classes: Sequence[str], found: Collection[str]) -> list[str]:
    """Return `classes`; ValueError or TypeError unless they are unique and include `found`."""
    if isinstance(classes, str) or not all(
        isinstance(name, str) for name in in_order("classes", classes)
    ):
        raise TypeError(f"classes must be a list of strings, not {classes!r}")
    if twice := [name for name, count in Counter(classes).items() if count > 1]:
        raise ValueError(f"classes must be different names, but {twice[0]!r} is given twice")
    if unknown := sorted(set(found) - set(classes)):
        raise ValueError(
            f"there are images of {', '.join(map(repr, unknown))}, which `classes` does"
            " not have: add it there, or move its images away"
        )
    return list(classes)


def _suffix(name: str) -> str:
    last = name.rpartition("/")[2]
    stem, mark, suffix = last.rpartition(".")
    return f".{suffix.lower()}" if stem and mark else ""

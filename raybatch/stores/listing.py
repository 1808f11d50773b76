"""The images below a folder, here or anywhere: their paths, their classes, and what is no image."""

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

from raybatch.notices import tell
from raybatch.stores.image_list import ImageList
from raybatch.stores.location import Location
from raybatch.stores.paths import joined, path_array

# A name that begins with its only dot has no suffix.
_IMAGE = re.compile(
    r"[^/]\.(?:jpe?g|jpe|jfif|png|webp|gif|bmp|dib|tiff?|avif|jp2|j2k|p[pgb]m)\Z",
    re.IGNORECASE | re.ASCII,
)
# Text about images, which nobody takes for one.
_TEXT = re.compile(
    r"\.(?:txt|md|rst|csv|tsv|jsonl?|xml|ya?ml|html?|log|ini|db|py|sh)\Z", re.IGNORECASE
)
_MOST_SUFFIXES = 5


@dataclass
class Search:
    """The images below `folder`, as `runs` iterates over them, and `left_out`, how many other files there were by suffix.

    Files of text, which lie beside many images, are not among these. `example` is the name of one of them.
    """

    folder: Location
    left_out: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def runs(self) -> Iterator[list[str]]:
        """Iterate over runs of the names of the images, none of them empty; FileNotFoundError if there is none."""
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
        """Tell what was left out, if anything was."""
        if not self.left_out:
            return
        tell(
            f"left out below {self.folder!r}, as no images by their suffix: {left_out_text(self.left_out)}; one is "
            f"{self.example!r}. Convert or rename those that are images"
        )

    def _leave_out(self, names: list[str]) -> None:
        for name in names:
            if not _TEXT.search(name):
                self.example = self.example or name
                self.left_out[_suffix(name)] += 1


def left_out_text(left_out: Mapping[str, int]) -> str:
    """Return how many files there are by suffix, such as `3 .heic, 1 without a suffix`; the most frequent first."""
    counts = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in counts]
    more = sum(count for _, count in counts[_MOST_SUFFIXES:])
    return ", ".join(shown[:_MOST_SUFFIXES] + ([f"{more:,} others"] if more else []))


def find_images(root: str | os.PathLike[str], *, filesystem: Any = None) -> list[str]:
    """Return the paths of all image files below `root`, told by their suffix, sorted; links are followed.

    `root` is a folder or a URL of one, or a folder in `filesystem`, as for `ImageFileAccessor`. Hidden names are left
    out: those that begin with a dot, and what systems leave behind, such as `__MACOSX`. How many files there are of
    other suffixes, such as .heic, is told once, by logging or else on the standard error; but for those of text.

    NotADirectoryError if `root` is no folder here, FileNotFoundError if there is no image below it.
    """
    search = Search(Location(root, filesystem))
    paths = search.paths()
    search.tell()
    return paths


def image_folder(
    root: str | os.PathLike[str], *, classes: Sequence[str] | None = None, filesystem: Any = None
) -> ImageList:
    """Return the paths, labels and class names of a tree with one folder for each class.

    Paths are those of `find_images`, sorted; the label of an image, int64 `(n,)`, is the position of the first
    folder below `root` on its way in `classes`. By default these are the names of all folders in `root`, sorted, also of
    those without images, which are told once. Where a split may lack a class, give it the classes of another:

        paths, labels, classes = image_folder("train")
        validation = image_folder("validation", classes=classes)

    ValueError for an image that lies in no such folder, or in one that is none of `classes`, and for a class that is
    there twice; and the errors of `find_images`.
    """
    search = Search(Location(root, filesystem))
    folder = search.folder
    paths: list[pa.Array] = []
    labels: list[npt.NDArray[np.int64]] = []
    numbers: dict[str, int] = {}  # of the classes, as they come
    for names in search.runs():
        own = list(map(class_of, names))
        if "" in own:
            path = Location(folder.join([names[own.index("")]])[0])
            raise ValueError(f"{path!r} lies in no class folder below {folder!r}")
        labels.append(np.array([numbers.setdefault(one, len(numbers)) for one in own], np.int64))
        paths.append(path_array(folder.join(names)))
    in_order = all_classes(folder, numbers) if classes is None else numbered(classes, numbers)
    search.tell()
    label_of = {name: label for label, name in enumerate(in_order)}
    as_given = np.array([label_of[name] for name in numbers], dtype=np.int64)
    return ImageList(joined(paths), as_given[np.concatenate(labels)], in_order)


def is_image_name(name: str) -> bool:
    """Return whether the suffix of the file `name` is that of an image."""
    return _IMAGE.search(name) is not None


def class_of(name: str) -> str:
    """Return the first folder on the way to the file `name` below a folder: its class; "" if it lies in none."""
    first, mark, _ = name.partition("/")
    return first if mark else ""


def all_classes(folder: Location, found: Collection[str]) -> list[str]:
    """Return the names of the folders in `folder`, sorted; tell those that are not `found`, which have no images."""
    names = sorted({*found, *folder.folders()})
    if empty := [name for name in names if name not in found]:
        tell(
            f"no images in these of the {len(names)} class folders in {folder!r}, which keep their numbers: "
            f"{', '.join(map(repr, empty))}"
        )
    return names


def numbered(classes: Sequence[str], found: Collection[str]) -> list[str]:
    """Return `classes`, in which each name that was `found` must be, and none twice; ValueError, TypeError."""
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f"classes must be a list of strings, not {classes!r}")
    if twice := [name for name, count in Counter(classes).items() if count > 1]:
        raise ValueError(f"classes must be different names, and {twice[0]!r} is there twice")
    if unknown := sorted(set(found) - set(classes)):
        raise ValueError(
            f"there are images of {', '.join(map(repr, unknown))}, none of the {len(classes)} classes that were given: "
            "add it to them, or move its images away"
        )
    return list(classes)


def _suffix(name: str) -> str:
    last = name.rpartition("/")[2]
    stem, mark, suffix = last.rpartition(".")
    return f".{suffix.lower()}" if stem and mark else ""

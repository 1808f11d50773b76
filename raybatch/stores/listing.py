"""The images below a folder, or that a pattern matches, here or anywhere; and their list, which is kept in a file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from raybatch.stores.aside import written_aside
from raybatch.stores.location import Location, Locations
from raybatch.stores.paths import joined, path_array, path_names
from raybatch.stores.secrets import hold_credentials

_CLASSES = b"raybatch.classes"


class ImageList:
    """Images with labels: `paths`, an Arrow array of strings, `labels`, int64 `(n,)`, and `classes`, their names.

    `paths, labels, classes = images` gives the paths as a list of str, which takes far more memory than the
    array. Accessors take the array: `ImageFileAccessor(images.paths)`.

    ValueError if there are not as many labels as paths, or a label is no position in `classes`.
    """

    def __init__(self, paths: Any, labels: npt.ArrayLike, classes: list[str]) -> None:
        self.paths: pa.Array = Locations(paths).array
        self.labels: npt.NDArray[np.int64] = np.array(labels, dtype=np.int64)
        self.classes = list(classes)
        if self.labels.shape != (len(self.paths),):
            raise ValueError(
                f"{len(self.paths)} paths need as many labels, not an array {self.labels.shape}"
            )
        wrong = (self.labels < 0) | (self.labels >= len(self.classes))
        if wrong.any():
            label = self.labels[wrong.argmax()]
            raise ValueError(f"label {label} is none of the {len(self.classes)} classes")

    def __iter__(self) -> Iterator[Any]:
        return iter((path_names(self.paths), self.labels, self.classes))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.paths)} images, {len(self.classes)} classes)"

    @property
    def table(self) -> pa.Table:
        """An Arrow table with the columns `path`, string, and `label`, int64; the classes are in its metadata.

        Paths that are not all valid UTF-8 are a column of bytes.
        """
        metadata = {_CLASSES: json.dumps(self.classes)}
        return pa.table({"path": self.paths, "label": self.labels}).replace_schema_metadata(
            metadata
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `table` as a Parquet file; ValueError if the paths are URLs that hold credentials."""
        if hold_credentials(self.paths):
            raise ValueError(
                "the paths hold credentials, which do not belong in a file: list with filesystem= instead"
            )
        with written_aside(path) as aside:
            pa.parquet.write_table(self.table, aside)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ImageList:
        """Return the list that `save` wrote; ValueError if `path` is another Parquet file."""
        table = pa.parquet.read_table(path)
        classes = (table.schema.metadata or {}).get(_CLASSES)
        if classes is None or table.schema.names != ["path", "label"]:
            raise ValueError(f"{os.fspath(path)!r} is no list of images that raybatch has saved")
        return cls(table["path"], table["label"].to_numpy(), json.loads(classes))


# A name that begins with its only dot has no suffix.
_IMAGE = re.compile(
    r"[^/]\.(?:jpe?g|jpe|jfif|png|webp|gif|bmp|dib|tiff?|avif|jp2|j2k|p[pgb]m)\Z",
    re.IGNORECASE | re.ASCII,
)


def find_images(root: str | os.PathLike[str], *, filesystem: Any = None) -> list[str]:
    """Return the paths of all image files below `root`, told by their suffix, sorted; links are followed.

    `root` is a folder or a URL of one, or a folder in `filesystem`, as for `ImageFileAccessor`.
    NotADirectoryError if `root` is no folder here, FileNotFoundError if there is no image below it.
    """
    folder = Location(root, filesystem)
    return [path for names in _runs(folder) for path in folder.join(names)]


def image_folder(root: str | os.PathLike[str], *, filesystem: Any = None) -> ImageList:
    """Return the paths, labels and class names of a tree with one folder for each class.

    Paths are those of `find_images`, sorted; the label of an image, int64 `(n,)`, is the position of the first
    folder below `root` on its way in the sorted list of class names.

        paths, labels, classes = image_folder(root)

    ValueError for an image that lies in no such folder, and the errors of `find_images`.
    """
    folder = Location(root, filesystem)
    paths: list[pa.Array] = []
    labels: list[npt.NDArray[np.int64]] = []
    numbers: dict[str, int] = {}  # of the classes, as they come
    for names in _runs(folder):
        own = list(map(class_of, names))
        if "" in own:
            path = Location(folder.join([names[own.index("")]])[0])
            raise ValueError(f"{path!r} lies in no class folder below {folder!r}")
        labels.append(np.array([numbers.setdefault(one, len(numbers)) for one in own], np.int64))
        paths.append(path_array(folder.join(names)))
    classes = sorted(numbers)
    label_of = {name: label for label, name in enumerate(classes)}
    in_order = np.array([label_of[name] for name in numbers], dtype=np.int64)
    return ImageList(joined(paths), in_order[np.concatenate(labels)], classes)


def class_of(name: str) -> str:
    """Return the first folder on the way to the file `name` below a folder: its class; "" if it lies in none."""
    first, mark, _ = name.partition("/")
    return first if mark else ""


def _runs(folder: Location) -> Iterator[list[str]]:
    """Iterate over runs of the names of the images below `folder`, none of them empty."""
    is_empty = True
    for names in folder.below():
        images = [name for name in names if _IMAGE.search(name)]
        if images:
            is_empty = False
            yield images
    if is_empty:
        raise FileNotFoundError(f"no image files below {folder!r}")


_SHOWN = r"(?!\.)"
_ANY_FOLDERS = r"(?:(?!\.)[^/]+/)*"
_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def image_glob(pattern: str | os.PathLike[str], *, filesystem: Any = None) -> pa.Array:
    """Return the paths of the files that `pattern` matches, sorted, as an Arrow array for an accessor.

    The pattern is that of `glob.glob(pattern, recursive=True)`: `*`, `?` and `[a-z]` are parts of a name, `**` is
    any number of folders, and names that begin with a dot are matched by a dot only. It is a path here, a URL, in
    which `?` begins the query, or a path in `filesystem`, as for `ImageFileAccessor`. Only the folders below the
    first part that is no plain name are read, and no deeper than the pattern goes.

    FileNotFoundError if no file matches, NotADirectoryError if there is no folder to look in.
    """
    whole = Location(pattern, filesystem)
    text, query = whole.split_query()
    magic = re.search(r"[*?\[]", text)
    cut = text.rfind("/", 0, magic.start() if magic else None) + 1
    root, rest = text[:cut], text[cut:]
    parts = (unquote(rest) if whole.is_quoted else rest).split("/")
    matches = re.compile(_regex(parts), re.DOTALL).fullmatch
    depth = None if "**" in parts else len(parts)
    found = []
    folder = Location(root + query, filesystem)
    for names in folder.below(depth):
        names = [name for name in names if matches(name)]
        if names:
            found.append(path_array(folder.join(names)))
    if not found:
        raise FileNotFoundError(f"no file matches {whole!r}")
    return joined(found)


def _regex(parts: list[str]) -> str:
    folders = [_ANY_FOLDERS if part == "**" else _name_regex(part) + "/" for part in parts[:-1]]
    last = _ANY_FOLDERS + _name_regex("*") if parts[-1] == "**" else _name_regex(parts[-1])
    return "".join(folders) + last


def _name_regex(part: str) -> str:
    regex = "" if part.startswith(".") else _SHOWN
    for token in _TOKEN.findall(part):
        if token[0] == "*":
            regex += "[^/]*"
        elif token == "?":
            regex += "[^/]"
        elif token[0] == "[" and len(token) > 2:
            inside = token[1:-1].replace("\\", r"\\").replace("[", r"\[")
            regex += f"(?!/)[{'^' + inside[1:] if inside[0] == '!' else inside}]"
        else:
            regex += re.escape(token)
    return regex

"""Writes image files into Parquet files, with their bytes unchanged."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from raybatch.checks import counted, positive_int
from raybatch.errors import SampleReadError
from raybatch.stores.image_list import ImageList
from raybatch.stores.listing import class_of, find_images, image_folder, numbered
from raybatch.stores.local_path import local_path
from raybatch.stores.location import Location, Locations
from raybatch.stores.written import in_store, written, written_folder

_FIELDS = [pa.field("bytes", pa.binary()), pa.field("path", pa.string())]
# Far below the limit of the 32-bit offsets of a binary column.
_MOST_BYTES = 2**29


def to_parquet(
    images: Any,
    out: str | os.PathLike[str],
    *,
    labels: npt.ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    rows_per_group: int = 100,
    rows_per_file: int | None = None,
) -> list[str]:
    """Write image files into Parquet files, their bytes unchanged, and return the written paths.

    The columns are those of a Hugging Face data set: `image`, struct<bytes: binary, path: string>,
    and `label`, int64, if there are labels. `path` is relative to the folder; for images in a list
    it is the file's name. The names of the classes are in the metadata.

    Files are written under temporary names and renamed, so `out` appears as a whole or not at all.
    In a store, each file appears as a whole: it is written into the folder for temporary files and
    then copied.

    Args:
        images: A folder, an `ImageList`, or paths as for `ImageFileAccessor`.
        out: One file, or with `rows_per_file` a new folder. It can be a URL of a store, such as
            `s3://bucket/train`.
        labels: Integers `(n,)`. By default the labels of the list, or of a folder with one folder
            for each class.
        classes: The names of the classes of `labels`. For a folder, they fix the numbers of the
            classes, as in `image_folder`.
        rows_per_group: The rows in a row group, fewer if they exceed half a gigabyte. One row group
            at a time is in memory.
        rows_per_file: The rows in a file of the folder `out`.

    Raises SampleReadError for an image file that cannot be read; FileExistsError if the folder
    `out` exists and is not empty; the errors of `find_images`; and ValueError for labels that are
    not one integer for each file, an `out` that is a URL of a web server, an empty list, `classes`
    that lack a class or come without labels, and a folder with images both in class folders and
    beside them.
    """
    rows_per_group = positive_int("rows_per_group", rows_per_group)
    if rows_per_file is not None:
        rows_per_file = positive_int("rows_per_file", rows_per_file)
    target = os.fspath(out if in_store(out) else local_path(out))
    rows = _Rows(images, labels, classes)
    if rows_per_file is None:
        with written(target) as path:
            rows.write(path, range(len(rows)), rows_per_group)
        return [target]
    starts = range(0, len(rows), rows_per_file)
    files = [f"{number:05}-of-{len(starts):05}.parquet" for number in range(len(starts))]
    with written_folder(target) as new_file:
        for file, start in zip(files, starts, strict=True):
            stop = min(start + rows_per_file, len(rows))
            with new_file(file) as path:
                rows.write(path, range(start, stop), rows_per_group)
    return Location(target).join(files)


class _Rows:
    """The rows to write: the paths of images, the names to store for them, and their labels."""

    def __init__(
        self, images: Any, labels: npt.ArrayLike | None, classes: Sequence[str] | None
    ) -> None:
        self._root = os.fspath(images) if isinstance(images, (str, os.PathLike)) else None
        if self._root is not None:
            paths = find_images(self._root)
            in_folders = any(map(class_of, map(self._name_of, paths)))
            is_labelled = labels is None and (in_folders or classes is not None)
            images = image_folder(self._root, classes=classes) if is_labelled else paths
        if isinstance(images, ImageList):
            if labels is None:
                if classes is not None and list(classes) != images.classes:
                    raise ValueError(
                        f"the list has its own classes, {images.classes}, so"
                        f" classes={list(classes)} cannot apply"
                    )
                labels, classes = images.labels, images.classes
            images = images.paths
        self._paths = Locations(images, "")
        if len(self) == 0:
            raise ValueError("images must hold at least one path; it is empty")
        own = None if labels is None else np.asarray(labels)
        if own is not None and (own.shape != (len(self),) or own.dtype.kind not in "iu"):
            raise ValueError(
                f"labels must be {len(self)} integers, one for each image, not {own.dtype}"
                f" {own.shape}"
            )
        if classes is not None:
            if own is None:
                raise ValueError(
                    "classes are for labels: give labels, or a folder of class folders"
                )
            classes = numbered(classes, ())
            if (wrong := own[(own < 0) | (own >= len(classes))]).size:
                raise ValueError(
                    f"label {wrong[0]} is none of the {counted(len(classes), 'class', 'classes')}"
                )
        self._labels = None if own is None else own.astype(np.int64)
        self._schema = _schema(own is not None, classes)

    def __len__(self) -> int:
        return len(self._paths)

    def write(self, path: Path, rows: range, rows_per_group: int) -> None:
        # Images do not compress twice, and dictionaries and statistics of their bytes are useless.
        settings = {"compression": "none", "use_dictionary": False, "write_statistics": ["label"]}
        with pa.parquet.ParquetWriter(path, self._schema, **settings) as writer:
            for group in self._row_groups(rows, rows_per_group):
                writer.write_table(group, row_group_size=len(group))

    def _row_groups(self, rows: range, rows_per_group: int) -> Iterator[pa.Table]:
        contents: list[bytes] = []
        held_bytes = 0
        for row in rows:
            contents.append(self._content(row))
            held_bytes += len(contents[-1])
            if len(contents) == rows_per_group or held_bytes >= _MOST_BYTES or row == rows[-1]:
                yield self._table(range(row + 1 - len(contents), row + 1), contents)
                contents, held_bytes = [], 0

    def _table(self, rows: range, contents: list[bytes]) -> pa.Table:
        names = [self._name_of(self._paths[row]) for row in rows]
        parts = [pa.array(contents, pa.binary()), pa.array(names, pa.string())]
        columns = [pa.StructArray.from_arrays(parts, fields=_FIELDS)]
        if self._labels is not None:
            columns.append(pa.array(self._labels[rows.start : rows.stop]))
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _content(self, row: int) -> bytes:
        try:
            with self._paths.open(row) as file:
                return file.read()
        except OSError as error:
            reason = f"{type(error).__name__}: {error}"
            raise SampleReadError(self._paths.name_of(row), row, reason) from error

    def _name_of(self, path: str) -> str:
        """Return the name to store: the path below the folder, or the last part of a path."""
        if self._root is None:
            path, _ = Location(path).split_query()  # the query can hold a secret
            name = path.rpartition("/")[2]
        else:
            name = Location(path).name_below(Location(self._root))
        # A file name need not be valid UTF-8, but an Arrow string must be.
        return os.fsencode(name).decode(errors="replace")


def _schema(has_labels: bool, classes: Sequence[str] | None) -> pa.Schema:
    """Return the schema, with the metadata that the library `datasets` looks for."""
    fields = [pa.field("image", pa.struct(_FIELDS))]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if has_labels:
        fields.append(pa.field("label", pa.int64()))
        features["label"] = {"dtype": "int64", "_type": "Value"}
    if classes is not None:
        features["label"] = {"names": list(classes), "_type": "ClassLabel"}
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})

"""A list of labelled images that can be saved."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from raybatch.checks import counted
from raybatch.stores.absent import check_exists
from raybatch.stores.aside import written_aside
from raybatch.stores.location import Locations
from raybatch.stores.paths import path_names
from raybatch.stores.secrets import hold_credentials
from raybatch.stores.url_files import is_url

_CLASSES = b"raybatch.classes"


class ImageList:
    """Images with labels, which can be saved.

    `paths` is an Arrow array of strings, `labels` is int64 `(n,)`, and `classes` are the names of
    the labels.

    `paths, labels, classes = images` gives the paths as a list of str, which takes far more memory
    than the array. Accessors take the array: `ImageFileAccessor(images.paths)`.

    ValueError if the numbers of labels and paths differ, or if a label is not a position in
    `classes`.
    """

    def __init__(self, paths: Any, labels: npt.ArrayLike, classes: list[str]) -> None:
        self.paths: pa.Array = Locations(paths).array
        self.labels: npt.NDArray[np.int64] = np.array(labels, dtype=np.int64)
        self.classes = list(classes)
        if self.labels.shape != (len(self.paths),):
            raise ValueError(
                f"{len(self.paths)} paths need the same number of labels, not an array"
                f" {self.labels.shape}"
            )
        wrong = (self.labels < 0) | (self.labels >= len(self.classes))
        if wrong.any():
            label = self.labels[wrong.argmax()]
            raise ValueError(
                f"label {label} is none of the {counted(len(self.classes), 'class', 'classes')}"
            )

    def __iter__(self) -> Iterator[Any]:
        return iter((path_names(self.paths), self.labels, self.classes))

    def __repr__(self) -> str:
        images = counted(len(self.paths), "image")
        return f"{type(self).__name__}({images}, {counted(len(self.classes), 'class', 'classes')})"

    @property
    def table(self) -> pa.Table:
        """An Arrow table of `path`, string, and `label`, int64, with the classes as metadata.

        If a path is not valid UTF-8, the column `path` holds bytes.
        """
        metadata = {_CLASSES: json.dumps(self.classes)}
        return pa.table({"path": self.paths, "label": self.labels}).replace_schema_metadata(
            metadata
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `table` as a Parquet file; ValueError if the paths contain credentials."""
        if hold_credentials(self.paths):
            raise ValueError(
                "the paths hold credentials, which do not belong in a file: list the images with"
                " filesystem= instead"
            )
        with written_aside(path) as aside:
            pa.parquet.write_table(self.table, aside)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ImageList:
        """Return the list that `save` wrote; ValueError if `path` holds something else."""
        if not is_url(os.fspath(path)):
            check_exists(path)
        table = pa.parquet.read_table(path)
        classes = (table.schema.metadata or {}).get(_CLASSES)
        if classes is None or table.schema.names != ["path", "label"]:
            raise ValueError(f"{os.fspath(path)!r} is not a list of images that raybatch has saved")
        return cls(table["path"], table["label"].to_numpy(), json.loads(classes))

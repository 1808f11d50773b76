"""Decoded images in memory-mapped Arrow files."""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, ImageMode

from raybatch.accessors.array_transform import ArrayTransform
from raybatch.accessors.fingerprints import pickle_digest, short_digest
from raybatch.accessors.manifest import MANIFEST, UNFINISHED, PackedColumn, load_manifest
from raybatch.accessors.packed_origin import PackedOrigin
from raybatch.accessors.reading import RngOf, sample_positions, seeded_alone
from raybatch.errors import PackError
from raybatch.image.augment.transform import Change, is_random
from raybatch.image.pixels import PixelLayout
from raybatch.retries import Retries
from raybatch.stores.local_path import local_path


def _mapped_batch(path: Path) -> pa.RecordBatch:
    with pa.memory_map(os.fsencode(path)) as source:
        return pa.ipc.open_file(source).get_batch(0)


class PackedAccessor:
    """A column of packed files as an array: an int gives one sample, an index array the stack.

    Shapes and dtypes are those that `pack` wrote: `(H, W, C)` and `(n, H, W, C)`. Nothing is
    decoded: each sample is copied once, from a file that each process maps at its first use.

        change = augment.Compose([augment.RandomCrop(224), augment.RandomHorizontalFlip()])
        images = PackedAccessor("packed", transform=change)
        source = ArrayDataSource({"image": images, "label": images.column("label")})

    Do not change files in use; `raybatch.packing.verify` compares their checksums.

    Args:
        directory: The folder, or its URL in a store.
        column: A column whose samples are arrays, by default the first column.
        transform: As for `ImageFileAccessor`; so is `layout`. Both are for columns of images. A
            random crop reads only the pixels that it keeps.
        views: Whether an index array gives a list of read-only views `(H, W, C)` of the mapped
            file. An int gives such a view unless there is a `transform` or `layout`.
        local: A folder on each host, needed if `directory` is a URL. A file is copied into it as a
            whole when it is first needed. All actors and programs of a host share the copies.

    Indexing raises IndexError, TypeError and ValueError as `ImageFileAccessor` does. The
    constructor raises FileNotFoundError for a folder without packed files, PackError for a folder
    whose packing was interrupted or in which a file is missing or has a different size, and
    ValueError for an unknown column and for a URL without `local`.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        column: str | None = None,
        *,
        transform: Change | None = None,
        layout: PixelLayout | None = None,
        views: bool = False,
        local: str | os.PathLike[str] | None = None,
    ) -> None:
        self._origin: PackedOrigin | None = None
        if local is None:
            self._directory = local_path(directory).absolute()
            self._remake = partial(PackedAccessor, self._directory)
        else:
            self._directory = local_path(local).absolute()
            self._origin = PackedOrigin(os.fspath(directory), self._directory)
            self._remake = partial(PackedAccessor, self._origin.url, local=self._directory)
        self._views = views
        if self._origin is not None:
            self._origin.bring_manifest(MANIFEST, UNFINISHED)
        self._manifest = load_manifest(self._directory)
        if self._origin is None:
            for file in self._manifest.files:
                file.check(self._directory)
        self._column = self._manifest.column(column or self._manifest.columns[0].name)
        if not self._column.shape:
            raise ValueError(
                f"the samples of column {self._column.name!r} are not arrays: use"
                f" .column({self._column.name!r})"
            )
        self._packed_dtype = np.dtype(self._column.dtype)
        self._transform, self._layout = transform, layout
        self._after = _array_transform(self._column, transform, layout)
        if views and self._after is not None:
            raise ValueError(
                "views=True needs samples as they are packed: give no transform and no layout"
            )
        self._starts = np.cumsum([0, *(file.rows for file in self._manifest.files)])
        self._mapped: dict[int, npt.NDArray[Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        remade = partial(
            self._remake, transform=self._transform, layout=self._layout, views=self._views
        )
        return remade, (self._column.name,)

    def __len__(self) -> int:
        return self._manifest.rows

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({str(self._directory)!r}, {self._column.name!r}, {self.shape}"
            f" {self.dtype})"
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the stack of all samples."""
        return (len(self), *(self._column.shape if self._after is None else self._after.shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the samples."""
        return self._packed_dtype if self._after is None else self._after.dtype

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        return [column.name for column in self._manifest.columns]

    @property
    def classes(self) -> list[str] | None:
        """The names of the classes, None if they were not packed."""
        return None if self._manifest.classes is None else list(self._manifest.classes)

    def column(self, name: str) -> Any:
        """Return the column `name`.

        Numbers and strings are an array `(len(self),)` in memory. Arrays are an accessor like this
        one, without a `transform` or `layout`.
        """
        column = self._manifest.column(name)
        if column.shape:
            return self._remake(name, views=self._views)
        dtype = np.dtype(column.dtype)
        files = range(len(self._manifest.files))
        return np.concatenate(
            [_values(self._batch(number).column(name), dtype) for number in files]
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return what the samples depend on: the files' checksums, the transform and the layout."""
        files = repr([(file.rows, file.crc32) for file in self._manifest.files])
        about: dict[str, Any] = {
            "kind": type(self).__name__,
            "samples": len(self),
            "column": self._column.name,
            "files": short_digest(files.encode()),
        }
        if self._transform is not None:
            about["transform"] = pickle_digest(self._transform)
        if self._layout is not None:
            about["layout"] = dataclasses.asdict(self._layout)
        return about

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            if self._after is not None:
                return self[np.array([positions])][0]
            (view,) = self._rows(np.array([positions]))
            return view
        return self.read_seeded(positions, seeded_alone(positions))

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> Any:
        """Return the samples at `index`.

        `rng_of(row)` returns the generator of a row, as `SeededAccessor` says.
        """
        views = self._rows(index)
        if self._after is not None:
            return self._after.stack(views, rng_of)
        if self._views:
            return views
        stack = np.empty((len(views), *self._column.shape), self._packed_dtype)
        # This is as fast as `np.take` for rows of images, and works for one file and for several.
        for row, view in enumerate(views):
            stack[row] = view
        return stack

    @property
    def is_random(self) -> bool:
        """Whether the samples depend on random numbers."""
        return self._transform is not None and is_random(self._transform)

    def before_random(self) -> tuple[Any, ArrayTransform | None]:
        """Return the accessor of the samples before the transform, and the transforming function.

        If nothing is random, these are this accessor and None.
        """
        if not self.is_random:
            return self, None
        return self._remake(self._column.name), self._after

    def _rows(self, positions: npt.NDArray[np.intp]) -> list[npt.NDArray[Any]]:
        """Return views of the samples at `positions` in the mapped files."""
        numbers = np.searchsorted(self._starts, positions, side="right") - 1
        rows = positions - self._starts[numbers]
        arrays = {number: self._array(number) for number in set(numbers.tolist())}
        return [arrays[n][row] for n, row in zip(numbers.tolist(), rows.tolist(), strict=True)]

    def _array(self, number: int) -> npt.NDArray[Any]:
        """Return the samples in file `number`, mapped."""
        if number not in self._mapped:
            column = self._batch(number).column(self._column.name)
            buffer = column.storage.values.buffers()[1]
            count = len(column) * int(np.prod(self._column.shape))
            flat = np.frombuffer(buffer, self._packed_dtype, count)
            self._mapped[number] = flat.reshape(len(column), *self._column.shape)
        return self._mapped[number]

    def _batch(self, number: int) -> pa.RecordBatch:
        """Return the mapped record batch in file `number`; PackError if it is damaged."""
        file = self._manifest.files[number]
        path = self._directory / file.name
        if self._origin is not None:
            self._origin.bring(file.name)
        # Reading beyond the end of a mapped file that is too short would kill the process.
        file.check(self._directory)
        try:
            batch = Retries().call(_mapped_batch, path)
            found = dict(zip(batch.schema.names, batch.schema.types, strict=True))
        # A damaged file raises Arrow's errors, and Python's for names that are not text and for
        # impossible sizes.
        except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError, SystemError) as error:
            raise PackError(f"{str(path)!r} is damaged: {error}") from error
        wanted = {column.name: column.arrow_type for column in self._manifest.columns}
        if batch.num_rows != file.rows or found != wanted:
            raise PackError(
                f"{str(path)!r} is damaged: it has {batch.num_rows} rows of {found} instead of"
                f" {file.rows} of {wanted}"
            )
        return batch


def _array_transform(
    column: PackedColumn, transform: Change | None, layout: PixelLayout | None
) -> ArrayTransform | None:
    """Return the function that makes the samples, None if they stay as packed.

    ValueError if `column` does not hold images.
    """
    if transform is None and layout is None:
        return None
    dtype, (height, width, *channels) = np.dtype(column.dtype), (*column.shape, 0, 0)
    channels = channels[: len(column.shape) - 2]
    try:
        mode = Image.fromarray(np.zeros((1, 1, *channels), dtype)).mode
        if dtype not in (bool, np.uint8, np.dtype(ImageMode.getmode(mode).typestr)):
            raise TypeError("Pillow converts it")
    except TypeError:
        raise ValueError(
            f"transform and layout are for images, but column {column.name!r} has {column.dtype} of"
            f" shape {column.shape}"
        ) from None
    bound = (layout or PixelLayout()).bound(dtype, tuple(channels))
    return ArrayTransform(transform, bound, (height, width), mode)


def _values(values: pa.Array, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind == "U":
        return np.array(values.to_pylist(), dtype=np.str_)
    array: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return array.astype(dtype)

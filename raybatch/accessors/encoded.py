"""Encoded images from any source of bytes: lists, columns, arrays of bytes, archive members."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import IO, Any

import numpy as np
import pyarrow as pa

from raybatch.accessors.fingerprints import fingerprint_of
from raybatch.accessors.images import StackedIfSized
from raybatch.accessors.reading import ByteStore, Opener, ReadAhead, map_rows, sample_positions
from raybatch.accessors.sample_sizes import Size, readers_of
from raybatch.arrays import is_array_like, portable, sample_count
from raybatch.errors import SampleReadError
from raybatch.image.pixels import PixelLayout
from raybatch.stages import stage
from raybatch.stores.location import Location

BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


class Cells:
    """A byte store whose cells each hold the bytes of an image or the path of its file.

    Subclasses implement the methods that raise NotImplementedError here.
    """

    def open(self, position: int) -> IO[bytes]:
        """Return the bytes at `position`, or the file at the path there, as a file object.

        OSError if the cell has neither, TypeError if its value is not bytes.
        """
        return self._opened(self._data(position), position)

    def name_of(self, position: int) -> str:
        """Return the place of the cell and the path that it holds, if any."""
        place = self._place(position)
        # An unreadable path must not hide why the image itself cannot be read.
        with suppress(Exception):
            path = self._path(position)
            return place if path is None else f"{place} ({Location(path)})"
        return place

    def _opened(self, data: Any, position: int) -> IO[bytes]:
        """Return the image at `position` as a file; `data` is the content of its cell or None."""
        if data is not None:
            return io.BytesIO(_as_buffer(data))
        path = self._path(position)
        if path is None:
            raise OSError("the image is null")
        try:
            return self._location(position, path).open()
        except FileNotFoundError as error:
            reason = f"the image is null, and the file at its path cannot be read: {error}"
        # Raise it outside the block, so that the caught error is not attached as its context.
        raise FileNotFoundError(reason)

    def _data(self, position: int) -> Any:
        """Return the bytes in a cell, None for null."""
        raise NotImplementedError

    def _path(self, position: int) -> str | None:
        """Return the path that is stored in a cell, None if there is none."""
        raise NotImplementedError

    def _location(self, position: int, path: str) -> Location:
        """Return the location of the file that the `path` in a cell names."""
        return Location(path)

    def _place(self, position: int) -> str:
        """Return the place of a cell, for messages."""
        raise NotImplementedError


class EncodedItems(Cells):
    """The encoded bytes that `items` gives; in dicts and structs they are in `field`."""

    def __init__(self, items: Any, field: str) -> None:
        if not is_array_like(items):
            raise TypeError(
                f"items must have a length and take an int, but a {type(items)} does not; give one"
                " column of a Hugging Face data set, dataset['image']"
            )
        if isinstance(items, (pa.Array, pa.ChunkedArray)):
            _check_arrow(items.type, field)
        self._items = items
        self._field = field
        self._keys = pa.array(list(items)) if isinstance(items, Mapping) else None

    def __len__(self) -> int:
        return sample_count(self._items)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_items": portable(self._items)}

    def signature(self, position: int) -> tuple[int, ...]:
        """Return (), because checking an item for changes costs as much as reading it."""
        return ()

    def fingerprint(self) -> dict[str, Any]:
        """Return `fingerprint_of` the items."""
        return {"items": fingerprint_of(self._items), "field": self._field}

    def _data(self, position: int) -> Any:
        item = self._item(position)
        return _value(item[self._field] if isinstance(item, Mapping) else item)

    def _path(self, position: int) -> str | None:
        item = self._item(position)
        path = _value(item.get("path")) if isinstance(item, Mapping) else None
        return os.fspath(path) if path else None

    def _place(self, position: int) -> str:
        key = position if self._keys is None else self._keys[position]
        return f"items[{key!s}]"

    def _item(self, position: int) -> Any:
        """Return the item at `position`; an Arrow struct becomes a dict."""
        key = position if self._keys is None else self._keys[position].as_py()
        item = self._items[key]
        if isinstance(item, pa.StructScalar):
            item = dict(item.items()) if item.is_valid else None
        if isinstance(item, Mapping) and self._field not in item:
            raise KeyError(
                f"there is no {self._field!r} in the item, which has {sorted(item)}: name the field"
                " of the bytes with field="
            )
        return item


class EncodedImageAccessor(StackedIfSized):
    """Encoded images by position, as arrays: an int gives one, an index array the stack.

        dataset = dataset.cast_column("image", datasets.Image(decode=False))
        images = EncodedImageAccessor(dataset["image"], size=(224, 224))

    The shapes and dtypes are those of `ImageFileAccessor`. Without a size, and without a
    `transform` that sets one, an int gives a Pillow image and an index array a list of them, as in
    `NonUniformImageFileAccessor`.

    Args:
        items: An object with a length that gives the bytes of an image file for an int: as bytes,
            as an array of uint8, or as a dict or struct. It can be a list, an Arrow array of binary
            or of structs (views and chunks included), an h5py data set, a zarr array, a mapping in
            the order of its keys, a column of a Hugging Face data set, or a byte store such as
            those of `raybatch.TarShards`.
        size: As for `ImageFileAccessor`; so are `layout`, `io_threads` and `reading`.
        field: The field of dicts and structs that holds the bytes. If it is null and the field
            `path` is not, the file or URL at that path is read.

    Raises the errors of `ImageFileAccessor`. A null raises `SampleReadError`, and so does a value
    that is not bytes, with a TypeError as its cause. The constructor raises TypeError for `items`
    that cannot be indexed and for Arrow arrays of other types, and ValueError for a `layout`
    without a size.
    """

    def __init__(
        self,
        items: Any,
        size: Size = None,
        *,
        field: str = "bytes",
        layout: PixelLayout | None = None,
        io_threads: int = 1,
        **reading: Any,
    ) -> None:
        store: ByteStore = items if _is_store(items) else EncodedItems(items, field)
        openers = ReadAhead(store, io_threads).openers
        super().__init__(readers_of(size, **reading), store, openers, layout)


class EncodedBytes:
    """The bytes in a byte store: an int gives one sample's bytes, an index array a list of them.

    Decode them with `map_samples`: sounds, arrays, or any other data that is stored beside images.
    """

    def __init__(self, store: ByteStore, io_threads: int = 1) -> None:
        self._store = store
        self._ahead = ReadAhead(store, io_threads)

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: Any) -> bytes | list[bytes]:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            return self._read(partial(self._store.open, positions), positions)
        rows = positions.tolist()
        with self._ahead.openers(rows) as openers:
            return map_rows(self._read, openers, rows)

    def name_of(self, position: int) -> str:
        """Return the place of the bytes at `position`, for messages."""
        return self._store.name_of(position)

    def fingerprint(self) -> dict[str, Any]:
        """Return a fingerprint of the byte store."""
        return {"kind": type(self).__name__, "samples": len(self), **self._store.fingerprint()}

    def _read(self, opener: Opener, position: int) -> bytes:
        try:
            with stage("read"), opener() as file:
                return file.read()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise SampleReadError(self.name_of(position), position, reason) from error


def _is_store(items: Any) -> bool:
    return all(hasattr(items, name) for name in ("open", "name_of", "signature", "fingerprint"))


def _check_arrow(kind: pa.DataType, field: str) -> None:
    own = kind.field(field).type if pa.types.is_struct(kind) and field in kind.names else kind
    if not any(is_kind(own) for is_kind in BYTES):
        raise TypeError(
            f"items are an Arrow array of {kind}, not of binary, large_binary, binary_view or a"
            f" struct with a field {field!r} of these types"
        )


def _value(item: Any) -> Any:
    """Return the value of an Arrow or NumPy scalar, None for a null; other items stay unchanged."""
    if isinstance(item, pa.Scalar):
        is_bytes = any(is_kind(item.type) for is_kind in BYTES)
        return item.as_buffer() if is_bytes and item.is_valid else item.as_py()
    while isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype == object:
        item = item.item()
    return item


def _as_buffer(data: Any) -> Any:
    """Return `data` in a form that `io.BytesIO` takes; TypeError if it is not bytes."""
    if isinstance(data, (bytes, bytearray, memoryview, pa.Buffer)):
        return data
    if hasattr(data, "__array__") and not hasattr(data, "getbands"):
        array = np.asarray(data)
        if array.dtype == np.uint8 and array.ndim == 1:
            return np.ascontiguousarray(array).data
        if array.dtype.kind in "SV":
            return array.tobytes()
    advice = ""
    if isinstance(data, (str, os.PathLike)):
        advice = ": an ImageFileAccessor takes paths"
    elif hasattr(data, "getbands"):
        advice = (
            ", a decoded image: dataset.cast_column(name, datasets.Image(decode=False)) leaves"
            " images encoded"
        )
    raise TypeError(f"items must give bytes, and this is a {type(data)}{advice}")

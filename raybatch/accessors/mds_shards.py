"""Data sets in the shards of MosaicML's Streaming, with each column as an array."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from raybatch.accessors.encoded import EncodedImageAccessor
from raybatch.accessors.shards import TarShards
from raybatch.accessors.texts import Texts
from raybatch.errors import StorageError
from raybatch.stores.location import Location
from raybatch.stores.mds_samples import mds_members
from raybatch.stores.shard_index import Lister

_IMAGES = ("jpeg", "png")
_NUMBERS = {"int": "int64"} | {
    name: name
    for name in (
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}
_TEXTS = {"str": str, "str_int": int, "str_float": float}


class MDSShards(TarShards):
    """The samples in the MDS shards of mosaicml-streaming, in any order, without that package.

    `MDSWriter` writes such shards. `shards` is the folder of the data set, with its `index.json`,
    or the shards themselves in the forms that `TarShards` takes. The other arguments, the index and
    the errors are those of `TarShards`; a column corresponds to a member there.

        shards = MDSShards("train/")
        images = shards.images("image", size=(224, 224))
        source = ArrayDataSource({"image": images, "label": shards.column("label")})

    StorageError for compressed shards, in which no sample can be read by itself. `bytes(column)`
    returns a column of any encoding as it is stored; nothing is unpickled.
    """

    _kind: ClassVar[tuple[str, Lister]] = (".mds", mds_members)

    def __init__(self, shards: Any, *, filesystem: Any = None, **options: Any) -> None:
        super().__init__(_indexed(shards, filesystem), filesystem=filesystem, **options)

    @property
    def extensions(self) -> dict[str, int]:
        """The names of the columns, each with the number of samples that have it."""
        counts: dict[str, int] = {}
        for stored, count in super().extensions.items():
            name = stored.rpartition(":")[0]
            counts[name] = counts.get(name, 0) + count
        return counts

    def images(
        self, extension: str | None = None, size: tuple[int, int] | None = None, **reading: Any
    ) -> EncodedImageAccessor:
        """Return the images in the column `extension`, by default the first jpeg or png column.

        `size` and `reading` are the arguments of `EncodedImageAccessor`. ValueError if there is no
        such column.
        """
        found = [name for name in self.extensions if self._encoding(name) in _IMAGES]
        if (extension or "") not in found and (extension is not None or not found):
            raise ValueError(
                f"images are in columns of {' or '.join(_IMAGES)}; the shards have {found}"
            )
        return super().images(extension or found[0], size, **reading)

    def column(self, extension: str, dtype: Any = None) -> Any:
        """Return the numbers or texts in the column `extension`, in memory, `(len(self),)`.

        Numbers have the dtype of the column, or `dtype`. Texts come as a list of str in a batch.
        ValueError for a column of any other encoding.
        """
        encoding = self._encoding(extension)
        if encoding in _NUMBERS:
            stored = np.dtype(_NUMBERS[encoding]).newbyteorder("<")
            values = self._parsed(extension, lambda data: np.frombuffer(data, stored, 1)[0])
            return np.array(values, stored).astype(dtype or np.dtype(_NUMBERS[encoding]))
        if encoding in _TEXTS:
            parse = _TEXTS[encoding]
            values = self._parsed(extension, lambda data: parse(data.decode()))
            return Texts(values) if parse is str and dtype is None else np.array(values, dtype)
        raise ValueError(
            f"column {extension!r} is encoded as {encoding}: .bytes({extension!r}) returns the"
            " stored bytes"
        )

    def _encoding(self, column: str) -> str:
        """Return the encoding of `column`.

        ValueError if there is no such column, or if shards differ in its encoding.
        """
        found = [stored.rpartition(":")[2] for stored in self._stored(column)]
        if len(found) != 1:
            raise ValueError(
                f"column {column!r} is encoded as {found}; the columns are {self.extensions}"
            )
        return found[0]

    def _stored(self, column: str) -> list[str]:
        return [one for one in super().extensions if one.rpartition(":")[0] == column.lower()]

    def _rows(self, extension: str) -> npt.NDArray[np.int64]:
        stored = [one for column in extension.split(";") for one in self._stored(column)]
        return super()._rows(";".join(stored) or extension)


def _indexed(shards: Any, filesystem: Any) -> Any:
    """Return the paths of the shards in the order of the folder's `index.json`.

    Return `shards` unchanged if there is no such file.
    """
    if not isinstance(shards, (str, os.PathLike)):
        return shards
    folder = Location(shards, filesystem)
    try:
        with Location(folder.join(["index.json"])[0], filesystem).open() as file:
            listed = json.load(file)["shards"]
        raw = [each["raw_data"]["basename"] for each in listed]
    except (OSError, ValueError, KeyError, TypeError):
        return shards  # `shards` names the shards themselves
    packed = [each["zip_data"]["basename"] for each in listed if each.get("zip_data")]
    there = {name for names in folder.below() for name in names}
    if packed and not there.issuperset(raw):
        raise StorageError(
            f"the shards below {folder!r} are compressed, such as {packed[0]!r}, so no sample in"
            " them can be read by itself. Write them without compression=, or decompress them"
            " beside their index.json: encoded images then take hardly more space"
        )
    return folder.join(raw)

"""A list of paths that costs another process nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from raybatch.stores.files import is_url
from raybatch.stores.secrets import hold_credentials, redacted

# A list of all the paths would take far more memory than they do.
_PATHS_AT_ONCE = 10_000


class PathTable:
    """File paths in one Arrow array, whose buffers a Ray actor maps from the object store.

    A million paths as a Python list cost every process that gets them 120 MB; these cost none. A relative
    path stays relative to the directory in which the table was made, whatever that of the actor is, or to
    `folder`. A URL stays as it is.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]] | pa.Array | pa.ChunkedArray,
        folder: str | None = None,
    ) -> None:
        self.array = _as_arrow(paths)
        self._folder = os.getcwd() if folder is None else folder

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, position: int) -> str:
        path = os.fsdecode(self.array[position].as_py())
        return path if is_url(path) else os.path.join(self._folder, path)

    def digest(self) -> str:
        """Return a digest of the paths in their order, without the credentials in URLs, which come and go."""
        digest = hashlib.sha256(os.fsencode(self._folder))
        has_secrets = hold_credentials(self.array)
        for start in range(0, len(self), _PATHS_AT_ONCE):
            names = path_names(self.array.slice(start, _PATHS_AT_ONCE))
            if has_secrets:
                names = [redacted(name) for name in names]
            digest.update(os.fsencode("\0".join([*names, ""])))
        return digest.hexdigest()[:32]


def _as_arrow(paths: Any) -> pa.Array:
    if isinstance(paths, (str, bytes)):
        shown = redacted(os.fsdecode(paths))
        raise TypeError(f"paths must be a sequence of paths, not the one path {shown!r}")
    if isinstance(paths, (pa.Array, pa.ChunkedArray)):
        return _checked(paths)
    names = [_path_name(path, position) for position, path in enumerate(paths)]
    return _one_array(path_array(names))


def path_array(names: list[str]) -> pa.Array | pa.ChunkedArray:
    """Return an Arrow array of paths: strings, or bytes if one of them is not valid UTF-8."""
    try:
        return pa.array(names, pa.string())
    except UnicodeEncodeError:
        # A file name need not be valid UTF-8; its bytes are what counts.
        return pa.array([os.fsencode(name) for name in names], pa.binary())


def joined(arrays: list[pa.Array | pa.ChunkedArray]) -> pa.Array:
    """Return the arrays of `path_array`, at least one, as one."""
    if len({array.type for array in arrays}) > 1:
        arrays = [array.cast(pa.binary()) for array in arrays]
    chunks = [chunk for array in arrays for chunk in getattr(array, "chunks", [array])]
    return _one_array(pa.chunked_array(chunks))


def path_names(paths: pa.Array) -> list[str]:
    """Return an Arrow array of paths as a list of str."""
    names: list[str] = paths.to_pylist()
    return [os.fsdecode(name) for name in names] if pa.types.is_binary(paths.type) else names


def _path_name(path: Any, position: int) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(
            f"paths[{position}] must be a str or PathLike, not {type(path)}: {path!r}"
        ) from None


def _checked(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if not any(
        is_type(array.type)
        for is_type in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    ):
        raise TypeError(f"paths must be an Arrow array of strings, not of {array.type}")
    if array.null_count:
        position = array.is_null().index(True).as_py()
        raise ValueError(f"paths[{position}] is null")
    return _one_array(array)


def _one_array(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(array, pa.ChunkedArray):
        # A slice would take all that it was cut from along.
        is_slice = array.get_total_buffer_size() > 2 * array.nbytes + 1024
        return array.take(pa.array(range(len(array)), pa.int64())) if is_slice else array
    if pa.types.is_string(array.type) and array.nbytes >= 2**31:
        # 32-bit offsets reach 2 GB of text.
        array = array.cast(pa.large_string())
    return array.combine_chunks()

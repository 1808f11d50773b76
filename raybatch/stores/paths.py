"""Paths in Arrow arrays."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa

from raybatch.checks import in_order
from raybatch.stores.secrets import redacted


def as_path_array(paths: Any) -> pa.Array:
    """Return `paths` as one Arrow array of strings or bytes.

    TypeError or ValueError if they are not paths.
    """
    if isinstance(paths, (str, bytes)):
        shown = redacted(os.fsdecode(paths))
        raise TypeError(f"paths must be a sequence of paths, not a single path {shown!r}")
    if hasattr(paths, "paths"):
        raise TypeError(
            f"paths must be a sequence of paths, not the {type(paths).__name__}: give its .paths"
        )
    if isinstance(paths, (pa.Array, pa.ChunkedArray)):
        return _checked(paths)
    names = [_path_name(path, position) for position, path in enumerate(in_order("paths", paths))]
    return _one_array(path_array(names))


def path_array(names: list[str]) -> pa.Array | pa.ChunkedArray:
    """Return an Arrow array of paths: strings, or bytes if one of them is not valid UTF-8."""
    try:
        return pa.array(names, pa.string())
    except UnicodeEncodeError:
        # A file name need not be valid UTF-8; its bytes are its identity.
        return pa.array([os.fsencode(name) for name in names], pa.binary())


def joined(arrays: list[pa.Array | pa.ChunkedArray]) -> pa.Array:
    """Return one array of all paths in `arrays`, one or more results of `path_array`."""
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
        # A list made from an Arrow array holds scalars.
        return os.fsdecode(path.as_py() if isinstance(path, pa.Scalar) else path)
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
        # A slice would keep the whole array that it was cut from in memory.
        is_slice = array.get_total_buffer_size() > 2 * array.nbytes + 1024
        return array.take(pa.array(range(len(array)), pa.int64())) if is_slice else array
    if pa.types.is_string(array.type) and array.nbytes >= 2**31:
        # 32-bit offsets reach 2 GB of text.
        array = array.cast(pa.large_string())
    return array.combine_chunks()

"""Whether the folder that all samples are in is there: a file that is missing with all the others is no bad sample."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc

from raybatch.errors import StorageError

_ABSENT = (FileNotFoundError, NotADirectoryError, PermissionError)


def common_folder(paths: pa.Array, folder: str) -> str:
    """Return the folder that all local ones of `paths` are in, relative ones below `folder`; "" if there are none."""
    local = paths.filter(pc.invert(pc.match_substring(paths, "://")))
    if len(local) == 0:
        return ""
    ends = pc.min_max(local).as_py()
    return os.path.commonpath(
        [os.path.dirname(os.path.join(folder, os.fsdecode(ends[end]))) for end in ends]
    )


def check_folders(path: str, root: str, error: OSError) -> None:
    """Raise StorageError if `error`, raised by opening the file `path`, is not this file's alone.

    So it is if `root`, the folder that all of them are in, is gone, empty or closed, or if the folder of `path` is closed.
    """
    if not isinstance(error, _ABSENT):
        return
    _check(root, must_have_entries=True)
    if isinstance(error, PermissionError):
        _check(os.path.dirname(path), must_have_entries=False)


def _check(folder: str, *, must_have_entries: bool) -> None:
    try:
        with os.scandir(folder or os.curdir) as entries:
            if any(entries) or not must_have_entries:
                return
    except OSError as error:
        raise StorageError(
            f"the folder of the samples cannot be read: {type(error).__name__}: {error}"
        ) from error
    raise StorageError(f"the folder of the samples is empty: {folder!r}. Is it mounted?")

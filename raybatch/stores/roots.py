"""Tells a missing folder from a missing file: if all samples are gone, no single sample is bad."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc

from raybatch.errors import StorageError

_ABSENT = (FileNotFoundError, NotADirectoryError, PermissionError)


def common_folder(paths: pa.Array, folder: str) -> str:
    """Return the folder that holds all local `paths`; "" if there are none.

    Relative paths are below `folder`.
    """
    local = paths.filter(pc.invert(pc.match_substring(paths, "://")))
    if len(local) == 0:
        return ""
    # All other paths sort between these two, so they lie in the same folder.
    ends = pc.min_max(local).as_py()
    return os.path.commonpath(
        [os.path.dirname(os.path.join(folder, os.fsdecode(ends[end]))) for end in ends]
    )


def check_folders(path: str, root: str, error: OSError) -> None:
    """Raise StorageError if `error`, from opening the file `path`, concerns more than this file.

    It does if the common folder `root` is gone, empty or unreadable, or if the folder of `path` is
    unreadable.
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
    raise StorageError(f"the folder of the samples is empty, or not mounted: {folder!r}")

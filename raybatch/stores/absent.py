"""Says that a local file or folder does not exist, before anything else is tried with it."""

from __future__ import annotations

import os


def check_exists(path: str | os.PathLike[str]) -> None:
    """Raise FileNotFoundError if there is nothing at the local `path`."""
    text = os.fspath(path)
    if os.path.exists(text or os.curdir):
        return
    where = "" if os.path.isabs(text) else f" in {os.getcwd()!r}"
    raise FileNotFoundError(f"there is no {text!r}{where}")


def check_is_folder(path: str | os.PathLike[str]) -> None:
    """Raise FileNotFoundError if there is nothing at the local `path`.

    NotADirectoryError if it is a file; the message says how to read it.
    """
    check_exists(path)
    text = os.fspath(path)
    if os.path.isdir(text or os.curdir):
        return
    suffix = os.path.splitext(text)[1].lower()
    other = {
        ".zip": f": the folder in a zip file is {f'zip://::{text}'!r}",
        ".tar": ": rb.TarShards reads tar files",
        ".parquet": ": rb.ParquetImageAccessor reads Parquet files",
    }
    raise NotADirectoryError(f"{text!r} is a file, not a folder{other.get(suffix, '')}")

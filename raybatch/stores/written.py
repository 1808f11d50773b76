"""Writes files, locally or into a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.fs

from raybatch.retries import Retries
from raybatch.stores.aside import written_aside
from raybatch.stores.local_path import local_path
from raybatch.stores.location import Location
from raybatch.stores.secrets import call_without_secrets
from raybatch.stores.url_files import filesystem_of, is_url

# Yields, for the name of a file, the local path to write it to.
NewFile: TypeAlias = Callable[[str], AbstractContextManager[Path]]

# Servers that deliver files but accept none.
_READ_ONLY = ("http://", "https://")


def in_store(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a URL of a writable store; `file:` URLs are local paths."""
    text = os.fspath(path)
    return is_url(text) and not text.startswith(("file://", *_READ_ONLY))


@contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a local path to write a file to; on success the file appears whole at `path`.

    After an error nothing appears. `path` is local, or a URL of a store. A file for a store is made
    in the folder for temporary files, and then copied.
    """
    if not in_store(path):
        with written_aside(path) as aside:
            yield aside
        return
    with TemporaryDirectory(prefix="raybatch-") as folder:
        made = Path(folder, "file")
        yield made
        put(os.fspath(path), made)


@contextmanager
def written_folder(path: str | os.PathLike[str]) -> Iterator[NewFile]:
    """Yield a writer for the files of the new folder `path`, which appears whole or not at all.

    In a store, the files appear one by one. FileExistsError if the folder has files.
    """
    if not in_store(path):
        target = local_path(path)
        with written_aside(target) as aside:
            if target.exists() and (target.is_file() or any(target.iterdir())):
                raise FileExistsError(f"{os.fspath(target)!r} exists and is not an empty folder")
            aside.mkdir()
            yield lambda name: nullcontext(aside / name)
        return
    folder = Location(path)
    if _has_files(folder):
        raise FileExistsError(f"{folder!r} exists and is not an empty folder")
    begun: list[str] = []

    def file(name: str) -> AbstractContextManager[Path]:
        begun.extend(folder.join([name]))
        return written(begun[-1])

    try:
        yield file
    except BaseException:
        for name in begun:
            with suppress(OSError):  # the last file can be missing
                remove(name)
        raise


def _has_files(folder: Location) -> bool:
    try:
        return any(any(names) for names in folder.below(depth=1))
    except FileNotFoundError:
        return False


def put(url: str, file: Path) -> None:
    """Copy a local file to `url`.

    If the store supports it, the file appears there only once it is complete.
    """
    _in_its_store(url, partial(_put, file))


def remove(url: str) -> None:
    """Remove the file at `url` from its store."""
    _in_its_store(url, _remove)


def _in_its_store(url: str, do: Callable[[Any, str], None]) -> None:
    """Call `do(filesystem, path)` for the file at `url`."""
    filesystem, path = filesystem_of(url)
    call_without_secrets(lambda: Retries().call(do, filesystem, path), url)


def _put(file: Path, filesystem: Any, path: str) -> None:
    if not isinstance(filesystem, pa.fs.FileSystem):
        filesystem.put_file(str(file), path)
        return
    # Arrow copies the file, because Python's own streams would complete an interrupted upload
    # (Ctrl-C), and a part of the file would appear.
    here = pa.fs.LocalFileSystem()
    pa.fs.copy_files(str(file), path, source_filesystem=here, destination_filesystem=filesystem)


def _remove(filesystem: Any, path: str) -> None:
    is_arrow = isinstance(filesystem, pa.fs.FileSystem)
    (filesystem.delete_file if is_arrow else filesystem.rm_file)(path)

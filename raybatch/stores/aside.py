"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raybatch.stores.local_path import local_path


@contextmanager
def written_aside(path: str | os.PathLike[str], *, synced: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed on success and removed on failure.

    The temporary path has the same suffix. It is `path` itself if that is a device or a pipe. With
    `synced`, a file is on the disk before it is renamed. ValueError if `path` is a URL. An OSError,
    such as for a full disk, names `path`.
    """
    target = local_path(path)
    if target.exists() and not (target.is_file() or target.is_dir()):
        yield target
        return
    aside = target.with_name(f".{os.getpid()}.{threading.get_ident()}.{target.name}")
    try:
        yield aside
        if synced:
            _sync(aside)
        aside.replace(target)
    except OSError as error:
        # A failed write names no file, or the temporary file. Other errors concern other files.
        if error.errno is None or not str(error.filename or aside).startswith(str(aside)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        elif aside.exists():  # a read-only disk refuses to remove even what is not there
            aside.unlink()


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: str | os.PathLike[str], *, synced: bool = False) -> Iterator[Path]:
    """Give a path beside `path` to write a file or a folder to; it is renamed on success, and removed on failure.

    With `synced`, a file is on the disk before it is renamed.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield aside
        if synced:
            _sync(aside)
        aside.replace(target)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        aside.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

"""Changes Pillow's global setting for truncated files while a file is read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ImageFile

_changed = threading.Condition()
# The number of threads that read with a changed setting, and that setting. Threads that need the
# opposite setting wait.
_count, _setting = 0, False
# The program's own setting, to restore later; empty while nothing is changed.
_own: list[bool] = []


@contextmanager
def truncated_as(truncated: str | None) -> Iterator[None]:
    """In the block, let Pillow fill truncated files ("fill") or refuse them ("error").

    None keeps the program's setting.
    """
    global _count, _setting
    if truncated is None:
        yield
        return
    wanted = truncated == "fill"
    with _changed:
        _changed.wait_for(lambda: not _count or _setting is wanted)
        if not _count:
            _own.append(ImageFile.LOAD_TRUNCATED_IMAGES)
            ImageFile.LOAD_TRUNCATED_IMAGES = _setting = wanted
        _count += 1
    try:
        yield
    finally:
        with _changed:
            _count -= 1
            if not _count:
                ImageFile.LOAD_TRUNCATED_IMAGES = _own.pop()
                _changed.notify_all()

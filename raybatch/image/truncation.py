"""Whether Pillow fills up truncated files: its global setting, changed for one reading."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ImageFile

_changed = threading.Condition()
# The number of threads that read with a setting, and that setting. They share it; threads with
# another wait.
_count, _setting = 0, False
# The program's own value, while another setting is in force.
_own: list[bool] = []


@contextmanager
def truncated_as(truncated: str | None) -> Iterator[None]:
    """Let Pillow fill truncated files in the block ("fill") or refuse them ("error").

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

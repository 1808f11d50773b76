"""Whether what is missing at the end of a truncated file is filled: a setting of Pillow's for the whole process, here of one reading."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ImageFile

_changed = threading.Condition()
# How many threads read with a setting of their own, and which: they share it, or wait for each other.
_count, _setting = 0, False
# What the program has set, while another setting rules.
_own: list[bool] = []


@contextmanager
def truncated_as(truncated: str | None) -> Iterator[None]:
    """Have Pillow fill truncated files in the block with "fill", and refuse them with "error"; None: as the program has set it."""
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

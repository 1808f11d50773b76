"""Changes Pillow's global setting for truncated files while a file is read."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ImageFile


class _Turns:
    """The threads that read now, all with the same setting; others wait for them."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.count, self.setting = 0, False
        # The program's own setting, to restore later, if the threads need another.
        self.own: list[bool] = []

    def of_program(self) -> bool:
        return self.own[0] if self.own else ImageFile.LOAD_TRUNCATED_IMAGES


_turns = _Turns()


@contextmanager
def truncated_as(truncated: str | None) -> Iterator[None]:
    """In the block, let Pillow fill truncated files ("fill") or refuse them ("error").

    None keeps the program's setting, whatever other threads use meanwhile.
    """
    turns = _turns
    with turns.changed:
        wanted = turns.of_program() if truncated is None else truncated == "fill"
        turns.changed.wait_for(lambda: not turns.count or turns.setting == wanted)
        if not turns.count:
            turns.setting = wanted
            if wanted != ImageFile.LOAD_TRUNCATED_IMAGES:
                turns.own.append(ImageFile.LOAD_TRUNCATED_IMAGES)
                ImageFile.LOAD_TRUNCATED_IMAGES = wanted
        turns.count += 1
    try:
        yield
    finally:
        with turns.changed:
            turns.count -= 1
            if not turns.count:
                if turns.own:
                    ImageFile.LOAD_TRUNCATED_IMAGES = turns.own.pop()
                turns.changed.notify_all()


def _after_fork() -> None:
    """Forget the threads of the parent, which do not run here."""
    global _turns
    ImageFile.LOAD_TRUNCATED_IMAGES = _turns.of_program()
    _turns = _Turns()


if hasattr(os, "register_at_fork"):  # systems that lack it do not fork
    os.register_at_fork(after_in_child=_after_fork)

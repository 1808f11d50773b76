"""The stored sizes of images, noted while a batch of them is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from raybatch.image.view import Size

_noted: ContextVar[dict[int, Size] | None] = ContextVar("noted sizes", default=None)


@contextmanager
def noting_sizes() -> Iterator[dict[int, Size]]:
    """Note the (width, height) of the images that an accessor reads in this block, by their row.

    They are the sizes before `size` and `transform` of the accessor.
    """
    sizes: dict[int, Size] = {}
    token = _noted.set(sizes)
    try:
        yield sizes
    finally:
        _noted.reset(token)


def noted_here() -> dict[int, Size] | None:
    """Return the dict to note sizes in, by row; None if nobody asks for them."""
    return _noted.get()

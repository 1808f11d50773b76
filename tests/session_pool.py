"""The pool that tests share."""

from __future__ import annotations

import raybatch as rb


class SessionPool:
    """Two actors that many tests share, since each takes a second to start.

    A test that needs Ray for itself ends them.
    """

    def __init__(self) -> None:
        self._pool: rb.RayActorPool | None = None

    def open(self) -> rb.RayActorPool:
        if self._pool is None:
            self._pool = rb.RayActorPool(2)
        return self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

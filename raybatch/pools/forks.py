"""Detects processes that were forked from one that runs Ray. A call to Ray there hangs forever."""

from __future__ import annotations

import os
import sys

from raybatch.errors import PoolError

_was_forked = False


def is_without_its_ray() -> bool:
    """Return whether this process was forked from one that runs Ray. Ray itself does not notice."""
    return _was_forked


def without_ray() -> PoolError:
    """Return the error for using a pool of actors in a forked process."""
    return PoolError(
        "this process was forked from one that runs Ray, and Ray does not work after a fork. Loop "
        "over the loader in the process that made its pool (with num_workers=0 for PyTorch's "
        "DataLoader: the actors work ahead anyway), or give the loader a ThreadPool, which works "
        "in forked processes"
    )


def _note() -> None:
    global _was_forked
    ray = sys.modules.get("ray")
    _was_forked = ray is not None and ray.is_initialized()


# Registered when raybatch is imported: the process may be forked before this package calls Ray.
if hasattr(os, "register_at_fork"):  # systems without it cannot fork
    os.register_at_fork(after_in_child=_note)

"""Processes forked off one in which Ray runs: Ray does not come along, and whoever calls it waits for ever."""

from __future__ import annotations

import os
import sys

from raybatch.errors import PoolError

_was_forked = False


def is_without_its_ray() -> bool:
    """Return whether Ray runs not in this process but in the one that it was forked off, though Ray itself does not see that."""
    return _was_forked


def without_ray() -> PoolError:
    """Return the error of a pool of actors in such a process."""
    return PoolError(
        "this process was forked off one in which Ray runs, and Ray does not work in it. Loop over the loader in the "
        "process that made its pool (with num_workers=0 of PyTorch's DataLoader: the actors work ahead), or give the loader "
        "a ThreadPool, which works in forked processes"
    )


def _note() -> None:
    global _was_forked
    ray = sys.modules.get("ray")
    _was_forked = ray is not None and ray.is_initialized()


# As early as raybatch is imported, since the process may be forked before Ray is asked for anything here.
if hasattr(os, "register_at_fork"):  # no system without it forks
    os.register_at_fork(after_in_child=_note)

"""The connection of this process to Ray, shared by its pools."""

from __future__ import annotations

import logging
import os
import threading

import ray

from raybatch.errors import PoolError

_lock = threading.Lock()


class RayConnection:
    """A pool's share in the connection; the last share that is released ends what the first began.

    A Ray that the program itself has started or joined is used, and left alone.
    """

    # How many shares there are in the connection that raybatch made, and whether it started a Ray for it.
    _shares = 0
    _is_local = False

    def __init__(self, address: str | None) -> None:
        address = address or os.environ.get("RAY_ADDRESS") or None
        with _lock:
            self._is_share = _join(address)
            self.is_own_cluster = self._is_share and RayConnection._is_local

    def release(self) -> None:
        """Give the share back; may be called twice."""
        with _lock:
            if not self._is_share:
                return
            self._is_share = False
            RayConnection._shares -= 1
            if RayConnection._shares == 0 and ray.is_initialized():
                ray.shutdown()


def _join(address: str | None) -> bool:
    """Make sure that this process is connected; return whether the connection is raybatch's own."""
    if ray.is_initialized():
        _check_same_cluster(address)
        if RayConnection._shares == 0:
            return False
    else:
        RayConnection._shares = 0
        RayConnection._is_local = address in (None, "local")
        try:
            _init(address)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise PoolError(f"cannot connect to Ray at {address!r}: {error}") from error
    RayConnection._shares += 1
    return True


def _init(address: str | None) -> None:
    if address in (None, "local"):
        # Without "local" Ray would join the cluster of a stale address file, or fail over it.
        ray.init(address="local", include_dashboard=False, logging_level=logging.ERROR)
    else:
        ray.init(address=address, logging_level=logging.WARNING)


def _check_same_cluster(address: str | None) -> None:
    if address in (None, "auto", "local"):
        return
    connected = ray.get_runtime_context().gcs_address
    if address != connected:
        raise PoolError(
            f"the pool is to use the cluster at {address}, but this process is connected to the one at "
            f"{connected}; a process can use only one"
        )

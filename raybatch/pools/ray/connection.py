"""The connection of this process to Ray, shared by its pools."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time

import ray

from raybatch.errors import PoolError
from raybatch.pools.forks import is_without_its_ray, without_ray
from raybatch.pools.ray.address import check_not_of_client, wait_for_ray
from raybatch.pools.ray.signals import exit_on_sigterm, signal_handlers_kept

_SAME_SESSION_S = 0.2

# Ray deletes objects that nobody refers to any more a hundred at a time, or each second. So late, a batch is written to
# memory that was never touched before, at a fraction of the speed, and gigabytes of the store hold what is gone. A
# deletion goes to each host, so this is for a Ray of one.
_DELETE_AT_ONCE = ("RAY_free_objects_batch_size", "8")

# A socket's path may have 107 bytes, of which Ray adds some 70 to the folder.
_MAX_FOLDER_BYTES = 36
_SHORT_FOLDER = "/tmp/ray"

# Reentrant, since the garbage collector may let a pool go while this thread connects another.
_lock = threading.RLock()
# The connection that raybatch made last; it has ended if nobody holds it.
_own: _OwnConnection | None = None


class RayConnection:
    """A pool's hold on Ray; a connection that raybatch itself made ends when the last pool lets go of it.

    A Ray that the program itself has started or joined is used, and left alone.
    """

    def __init__(self, address: str | None, timeout_s: float) -> None:
        """Connect to the Ray at `address`, which may take `timeout_s` to answer; PoolError if that cannot be done."""
        with _lock:
            self._own = _join(address, timeout_s)
            if self._own is not None:
                self._own.holders.add(id(self))
            self._session = _session()
        self._look_again_at = 0.0
        self.is_own_cluster = self._own is not None and self._own.is_local

    @property
    def environ_at_start(self) -> dict[str, str] | None:
        """The environment of this process when it started a Ray on this machine; None if it did not."""
        return self._own.environ if self._own is not None and self._own.is_local else None

    def is_alive(self) -> bool:
        """Return whether this process is still connected to the Ray that it was connected to."""
        if is_without_its_ray() or not ray.is_initialized():
            return False
        now = time.monotonic()
        if now >= self._look_again_at:
            if _session() != self._session:
                return False
            # To connect to another takes Ray longer.
            self._look_again_at = now + _SAME_SESSION_S
        return True

    def release(self) -> None:
        """Let go; may be called twice."""
        with _lock:
            if self._own is None or id(self) not in self._own.holders:
                return
            self._own.holders.discard(id(self))
            if not self._own.holders and self.is_alive():
                with signal_handlers_kept():
                    ray.shutdown()


class _OwnConnection:
    """A connection that raybatch made, and the pools that hold it.

    They are counted, not left to Python: Ray may keep an error of its own whose traceback leads here.
    """

    def __init__(self, address: str | None, timeout_s: float) -> None:
        self.address = address
        self.is_local = address in (None, "local")
        self.holders: set[int] = set()
        self.environ = dict(os.environ)
        try:
            with signal_handlers_kept():
                _init(address, timeout_s)
        except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise PoolError(f"cannot connect to Ray at {address!r}: {error}") from error
        exit_on_sigterm()
        self.session = _session()


def _join(address: str | None, timeout_s: float) -> _OwnConnection | None:
    """Make sure that this process is connected, and return the connection if it is raybatch's own."""
    global _own
    joining = address or os.environ.get("RAY_ADDRESS") or None
    check_not_of_client(joining)
    if ray.is_initialized():
        if is_without_its_ray():
            raise without_ray()
        own = _own if _own is not None and _own.holders and _own.session == _session() else None
        _check_same_cluster(address, None if own is None else own.address)
        return own
    _own = _OwnConnection(joining, timeout_s)
    return _own


def _init(address: str | None, timeout_s: float) -> None:
    if address in (None, "local"):
        # By the environment, since a Ray that does not know an option of `_system_config` does not start.
        os.environ.setdefault(*_DELETE_AT_ONCE)
        # Without "local" Ray would join the cluster of a stale address file, or fail over it.
        ray.init(
            address="local",
            include_dashboard=False,
            logging_level=logging.ERROR,
            _temp_dir=_short_folder(),
        )
    else:
        wait_for_ray(address, timeout_s)
        ray.init(address=address, logging_level=logging.WARNING)


def _short_folder() -> str | None:
    """Return a folder for Ray's sockets if Ray's own is none for them."""
    return _SHORT_FOLDER if too_long_folder() else None


def too_long_folder() -> str:
    """Return the folder that the environment names for Ray, if its path is too long for sockets; else ""."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or ""
    return folder if len(os.fsencode(folder)) > _MAX_FOLDER_BYTES else ""


def _session() -> tuple[str, str]:
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def _check_same_cluster(address: str | None, joined_as: str | None) -> None:
    if address in (None, "auto", "local", joined_as):
        return
    connected = ray.get_runtime_context().gcs_address
    if not _is_same_address(str(address), connected):
        raise PoolError(
            f"the pool is to use the cluster at {address}, but this process is connected to the one at "
            f"{connected}; a process can use only one"
        )


def _is_same_address(one: str, other: str) -> bool:
    one_host, _, one_port = one.rpartition(":")
    other_host, _, other_port = other.rpartition(":")
    return one_port == other_port and bool(_addresses(one_host) & _addresses(other_host))


def _addresses(host: str) -> set[str]:
    """Return the addresses of `host`; every name of this machine stands for all of its addresses."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return set()
    own = {"127.0.0.1", "::1", ray.util.get_node_ip_address()}
    return found | own if found & own else found

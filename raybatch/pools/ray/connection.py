"""The connection of this process to Ray, shared by its pools."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time

import ray

from raybatch.errors import PoolError, told
from raybatch.pools.forks import is_without_its_ray, without_ray
from raybatch.pools.ray.address import check_not_of_client, wait_for_ray
from raybatch.pools.ray.signals import exit_on_sigterm, interrupt_held, signal_handlers_kept

_SAME_SESSION_S = 0.2

# By default, Ray deletes unreferenced objects in groups of a hundred, or once a second. Until then,
# gigabytes of the store hold dead objects, and new batches go to memory that was never used before,
# which is several times slower. Each deletion is sent to every host, so this setting is only for a
# Ray on one host.
_DELETE_AT_ONCE = ("RAY_free_objects_batch_size", "8")

# The path of a socket has at most 107 bytes, and Ray appends about 70 to the folder.
_MAX_FOLDER_BYTES = 36
_SHORT_FOLDER = "/tmp/ray"

# Reentrant: the garbage collector can close a pool while this thread connects another one.
_lock = threading.RLock()
# The latest connection that raybatch made. It has ended if it has no holders.
_own: _OwnConnection | None = None


class RayConnection:
    """A pool's share in the connection to Ray.

    A connection that raybatch made ends when the last pool releases it. A Ray that the program
    itself has started or joined is used, and never shut down.
    """

    def __init__(self, address: str | None, timeout_s: float) -> None:
        """Connect to the Ray at `address`; raise PoolError if it does not answer in `timeout_s`."""
        with _lock:
            self._own = _join(address, timeout_s)
            if self._own is not None:
                self._own.holders.add(id(self))
            self._session = _session()
        self._look_again_at = 0.0
        self.is_own_cluster = self._own is not None and self._own.is_local

    @property
    def environ_at_start(self) -> dict[str, str] | None:
        """The environment of this process when raybatch started Ray here; None if it did not."""
        return self._own.environ if self._own is not None and self._own.is_local else None

    def is_alive(self) -> bool:
        """Return whether this process is still connected to the same Ray."""
        if is_without_its_ray() or not ray.is_initialized():
            return False
        now = time.monotonic()
        if now >= self._look_again_at:
            if _session() != self._session:
                return False
            # Connecting to another Ray takes longer than this, so no such change is missed.
            self._look_again_at = now + _SAME_SESSION_S
        return True

    def release(self) -> None:
        """Release the connection; can be called twice."""
        with _lock:
            if self._own is None or id(self) not in self._own.holders:
                return
            self._own.holders.discard(id(self))
            if not self._own.holders and self.is_alive():
                with signal_handlers_kept():
                    ray.shutdown()


class _OwnConnection:
    """A connection that raybatch made, and the ids of the `RayConnection`s that hold it.

    Each holder must release the connection itself. The garbage collector may be late: Ray can keep
    an exception whose traceback refers to a holder.
    """

    def __init__(self, address: str | None, timeout_s: float) -> None:
        self.address = address
        self.is_local = address in (None, "local")
        self.holders: set[int] = set()
        self.environ = dict(os.environ)
        try:
            with signal_handlers_kept():
                _init(address, timeout_s)
        except KeyboardInterrupt:
            with signal_handlers_kept():
                ray.shutdown()
            raise
        except Exception as error:  # Ray raises a plain Exception if it starts too slowly
            if not self.is_local:
                raise PoolError(f"cannot connect to Ray at {address!r}: {error}") from error
            raise PoolError(
                f"Ray does not start on this machine: {told(error).rstrip('.')}. On a busy"
                " machine, try again later; a ThreadPool, or no pool (--actors 0), needs no Ray"
            ) from error
        exit_on_sigterm()
        self.session = _session()


def _join(address: str | None, timeout_s: float) -> _OwnConnection | None:
    """Connect this process unless it is connected; return the connection if raybatch made it."""
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
        # Not by `_system_config`: a release of Ray that does not know the option would not start.
        os.environ.setdefault(*_DELETE_AT_ONCE)
        # Without "local", Ray would try the cluster that a stale address file names.
        with interrupt_held():
            ray.init(
                address="local",
                include_dashboard=False,
                logging_level=logging.ERROR,
                _temp_dir=_short_folder(),
            )
    else:
        wait_for_ray(address, timeout_s)
        with interrupt_held():
            ray.init(address=address, logging_level=logging.WARNING)


def _short_folder() -> str | None:
    """Return a folder with a short path if the path of Ray's own folder is too long for sockets."""
    return _SHORT_FOLDER if too_long_folder() else None


def too_long_folder() -> str:
    """Return Ray's folder from the environment if its path is too long for sockets; else ""."""
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
            f"the pool needs the cluster at {address}, but this process is connected to the one at "
            f"{connected}; a process can use only one cluster"
        )


def _is_same_address(one: str, other: str) -> bool:
    one_host, _, one_port = one.rpartition(":")
    other_host, _, other_port = other.rpartition(":")
    return one_port == other_port and bool(_addresses(one_host) & _addresses(other_host))


def _addresses(host: str) -> set[str]:
    """Return the addresses of `host`; for any name of this machine, all of its addresses."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return set()
    own = {"127.0.0.1", "::1", ray.util.get_node_ip_address()}
    return found | own if found & own else found

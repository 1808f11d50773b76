"""Facts about one host; Ray runs this on each host.

The module is pickled by value and does not import raybatch at the top. So it also runs on a host
without raybatch, or with another version, and can report that.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import resource
import socket
import stat
from dataclasses import dataclass


@dataclass(frozen=True)
class HostFacts:
    """Facts about a host.

    `versions` has the versions of "Python", "ray" and "raybatch", None for one that is not
    installed. `cores` counts the cores that this process may use. `shm_bytes` is the size of
    /dev/shm, 0 if there is none. `open_files` is the soft limit of a process, -1 for no limit.
    `kernel` and `jpeg_decoder` are "usable", or the reason why they are not used. `unreadable` maps
    each path that cannot be read to the reason. `auth_mode` is "token" if Ray asks for a token;
    Ray's processes inherit it. `store_bytes` is the size of Ray's object store, None if Ray was not
    asked.
    """

    name: str
    versions: dict[str, str | None]
    cores: int
    shm_bytes: int
    memory_bytes: int
    open_files: int
    kernel: str
    jpeg_decoder: str
    unreadable: dict[str, str]
    auth_mode: str
    store_bytes: int | None = None


def look(paths: list[str]) -> HostFacts:
    """Return the facts about this host; `paths` are files, folders or URLs to try."""
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    versions = {"Python": platform.python_version(), "ray": _version("ray")}
    versions["raybatch"] = _own_version()
    errors = {path: _error_at(path) for path in paths}
    return HostFacts(
        name=socket.gethostname(),
        versions=versions,
        cores=len(os.sched_getaffinity(0)),
        shm_bytes=_size_of("/dev/shm"),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        open_files=-1 if soft_limit == resource.RLIM_INFINITY else soft_limit,
        kernel=_kernel(),
        jpeg_decoder=_jpeg_decoder(),
        unreadable={path: error for path, error in errors.items() if error is not None},
        auth_mode=os.environ.get("RAY_AUTH_MODE", "").lower(),
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _own_version() -> str | None:
    try:
        version: str = importlib.import_module("raybatch").__version__
    except ImportError:
        return None
    return version


def _size_of(folder: str) -> int:
    try:
        status = os.statvfs(folder)
    except OSError:
        return 0
    return status.f_frsize * status.f_blocks


def _kernel() -> str:
    try:
        from raybatch.image.kernel import fault

        return fault() or "usable"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _jpeg_decoder() -> str:
    try:
        from raybatch.image.jpeg import fault, is_usable

        return "usable" if is_usable() else str(fault())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _error_at(path: str) -> str | None:
    """Return why `path` cannot be read, None if it can."""
    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                return None if any(entries) else "the folder is empty"
        if "://" not in path:
            if not stat.S_ISREG(os.stat(path).st_mode):  # Opening a pipe would wait for a writer.
                return "neither a file nor a folder"
            with open(path, "rb") as file:
                file.read(1)
            return None
        from raybatch.stores.location import Location

        location = Location(path)
        try:
            with location.open() as file:
                file.read(1)
        except OSError as error:
            # It may be a folder.
            return None if any(location.below(1)) or location.folders() else str(error)
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"

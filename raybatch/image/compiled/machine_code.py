"""Machine code on the disk: compiled once a host, by one process, and loaded by LLVM alone."""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import llvmlite.binding as llvm

_HERE = Path(__file__).parent
_DIGEST_BYTES = 32


class MachineCode:
    """The functions of an object file, loaded into this process."""

    def __init__(self, code: bytes) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine()
        self._engine: Any = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Return where a function begins, as long as this object lives."""
        return int(self._engine.get_function_address(name))


def object_file() -> bytes:
    """Return the object file for this host, from the disk if it has been compiled before.

    Raises ImportError without Numba, and RuntimeError if what it compiles cannot be used.
    """
    name = f"resampling-{_fingerprint()}.o"
    paths = [folder / name for folder in _folders()]
    # What was installed with the package is used where nothing can be written.
    for path in paths:
        code = _kept(path)
        if code is not None:
            return code
    for path in paths:
        try:
            lock = _lock(path)
        except OSError:
            continue
        # While one process compiles, the others wait for it.
        with lock:
            code = _kept(path)
            if code is None:
                code = _compiled()
                with suppress(OSError):
                    _keep(path, code)
            return code
    return _compiled()


def _compiled() -> bytes:
    from raybatch.image.compiled.compiling import compile_all

    return compile_all()


def _folders() -> list[Path]:
    """Return where files may be kept: beside this module, or else in the user's cache."""
    folders = [_HERE / "__pycache__"]
    with suppress(RuntimeError):  # a user without a home
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folders.append(Path(cache) / "raybatch")
    return folders


def _fingerprint() -> str:
    """Return a name for all that the code depends on: the sources, who compiles them, and the processor."""
    digest = hashlib.blake2b(digest_size=16)
    for source in sorted(_HERE.glob("*.py")):
        digest.update(source.read_bytes())
    who = version("numba"), version("llvmlite")
    where = llvm.get_default_triple(), llvm.get_host_cpu_name()
    digest.update(repr((who, where, llvm.get_host_cpu_features().flatten())).encode())
    return digest.hexdigest()


def _lock(path: Path) -> IO[str]:
    """Return a file whose lock is held until it is closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = open(path.with_suffix(".lock"), "w")  # noqa: SIM115 - it is handed on
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        lock.close()
        raise
    return lock


def _kept(path: Path) -> bytes | None:
    """Return the code in a file, or None if there is none that can be read, or not all of it."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, code = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    return code if digest == _digest(code) else None


def _keep(path: Path, code: bytes) -> None:
    aside = path.with_suffix(f".{os.getpid()}")
    try:
        aside.write_bytes(_digest(code) + code)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _digest(code: bytes) -> bytes:
    return hashlib.blake2b(code, digest_size=_DIGEST_BYTES).digest()

"""What runs in a Ray actor: constants that stay, and batches made of them."""

from __future__ import annotations

import hashlib
import pickle
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray import cloudpickle
from ray import exceptions as ray_errors

from raybatch.accessors import row_executor
from raybatch.errors import RemoteError
from raybatch.faults import advice
from raybatch.making import Result, make
from raybatch.memory import ReusedMemory, batches_in
from raybatch.notices import hold, taken
from raybatch.pools.ray.hosts import WorkerFacts, address
from raybatch.pools.ray.packed_error import with_error_packed
from raybatch.pools.ray.program import Program
from raybatch.pools.ray.unpicklable import unpicklable
from raybatch.pools.session import SharedConstant


@dataclass(frozen=True)
class _Unloaded:
    """Stands for a constant that could not be loaded, because of `error`."""

    error: Exception


# The constants of this process, by key. An actor is the only user of its process.
_constants: dict[str, Any] = {}


class BatchWorker:
    """The class of the actors: one batch at a time, its rows on `threads` threads."""

    def __init__(self, threads: int, program: Program, setup: bytes | None) -> None:
        hold()
        self._setup_error = _error_of_setup(program, setup)
        self._executor = ThreadPoolExecutor(threads) if threads > 1 else None
        # Ray has copied a batch into its store before it asks for the next.
        self._memory = ReusedMemory()
        # This thread's CPU time when the last result was returned, or None if more has happened since.
        self._returned_at: float | None = None
        self._loading_s = 0.0
        self._programs: dict[str, Program] = {}

    def ready(self) -> WorkerFacts:
        """Return where this worker is, once its process is up and the program's `setup` has run."""
        return WorkerFacts.here(self._setup_error)

    def catch_up(self) -> None:
        """Return when all that was asked before is answered."""

    def load(self, key: str, refs: list[Any], program: Program) -> None:
        """Get the one constant in `refs`, of `program`; a failure to unpickle it is raised where it is used."""
        self._programs[key] = program
        self._returned_at = None
        start = time.perf_counter()
        try:
            program.take_over()
            _constants[key] = ray.get(refs[0])
        except ray_errors.RaySystemError as error:
            raised = error.client_exc
            _constants[key] = _Unloaded(raised if isinstance(raised, Exception) else error)
        except Exception as error:
            _constants[key] = _Unloaded(error)
        self._loading_s += time.perf_counter() - start

    def forget(self, key: str) -> None:
        """Let go of a constant."""
        _constants.pop(key, None)
        self._programs.pop(key, None)

    def forget_user(self, user: str) -> None:
        """Let go of all constants of `user`, whose name their keys begin with."""
        for key in [key for key in _constants if key.startswith(user)]:
            self.forget(key)

    def make(self, key: str, item: Any) -> tuple[Result, float, float, float]:
        """Return the result of the request in `item` to the source `key`, and three numbers of seconds.

        They are those of making it, of storing the result before, and of `load` since then. Ray stores a result when this has returned, so it is known at the next call. It is work of this thread; what
        the actor waits for its next call is not.
        """
        stored_s = 0.0 if self._returned_at is None else time.thread_time() - self._returned_at
        self._returned_at = None
        start = time.perf_counter()
        with (
            row_executor(self._executor),
            batches_in(self._memory),
            self._programs.get(key, Program()).ruling(),
        ):
            try:
                source, request = constant(key), _unpacked(item)
            except Exception as error:
                result = Result(error=error)
            else:
                result = make(source, request)
        result = with_error_packed(result)._replace(notices=taken())
        self._returned_at = time.thread_time()
        loading_s, self._loading_s = self._loading_s, 0.0
        return result, time.perf_counter() - start, stored_s, loading_s


def packed(item: Any) -> tuple[Any, list[RayConstant]]:
    """Return `item` as bytes, which Ray sends as they are, and the constants in it.

    Where only Ray's own pickler knows how, it is `item` itself. That calls back into Python for each object, and takes
    several times as long over a batch's indices.
    """
    found: list[RayConstant] = []
    _pickled_constants.found = found
    try:
        data = pickle.dumps(item, protocol=5)
        # What the program itself defines is not there for a worker to import.
        if b"__main__" in data:
            raise pickle.PicklingError
    except Exception:
        found.clear()
        try:
            cloudpickle.dumps(item)
        except Exception as error:
            rows = getattr(item, "rows", None)
            raise unpicklable("task", item if rows is None else rows.indices, error) from None
        return item, found
    return data, found


def _unpacked(item: Any) -> Any:
    return pickle.loads(item) if isinstance(item, bytes) else item


def constant(key: str) -> Any:
    """Return a constant that this worker was given; what went wrong when it came is raised."""
    if key not in _constants:
        raise RemoteError(f"this worker was not sent what it is to work with (constant {key})")
    value = _constants[key]
    if isinstance(value, _Unloaded):
        raised = f"{type(value.error).__name__}: {value.error}"
        cannot = (
            f"the worker on host {address()} cannot load the source or function that it was sent"
        )
        raise RemoteError(
            ". ".join(filter(None, [f"{cannot}: {raised}", advice(raised)]))
        ) from value.error
    return value


class _PickledConstants(threading.local):
    """The constants that this thread has pickled since it began a request."""

    def __init__(self) -> None:
        self.found: list[RayConstant] = []


_pickled_constants = _PickledConstants()


class RayConstant(SharedConstant):
    """A constant in the object store, with what its program has set; tasks refer to it by its key.

    Its keys begin with `user`; `forget` is called with each of them when it is of no use any more.
    """

    def __init__(
        self, value: Any, program: Program, user: str, forget: Callable[[str], None]
    ) -> None:
        super().__init__(value)
        self.program = program
        self._user = user
        self._forget = forget
        self._content = _content(value)
        self.ref = _put(value)
        self._name()

    def renew(self, program: Program) -> None:
        """Have tasks from now on refer to what the value and its program are now, if one of them has changed.

        Arrays are known by their memory, so one that is changed in place is not sent again.
        """
        content = _content(self.value)
        if (content, program) == (self._content, self.program):
            return
        if content != self._content:
            self.ref = _put(self.value)
        self._content, self.program = content, program
        self._release()
        self._name()

    def _name(self) -> None:
        self.key = f"{self._user}.{uuid.uuid4().hex}"
        self._release = weakref.finalize(self, self._forget, self.key)
        self._release.atexit = False

    def __reduce__(self) -> tuple[Any, ...]:
        _pickled_constants.found.append(self)
        return _loaded_constant, (self.key,)


def _put(value: Any) -> Any:
    try:
        return ray.put(value)
    except Exception as error:
        raise unpicklable("source", value, error) from None


def _content(value: Any) -> tuple[bytes, tuple[tuple[int, int], ...]] | None:
    """Return what tells whether `value` has changed: a digest of all but its arrays, and where in memory they are; None if it cannot be pickled."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    except Exception:
        return None
    places = []
    for buffer in buffers:
        with buffer.raw() as raw:
            places.append((np.frombuffer(raw, np.uint8).ctypes.data, raw.nbytes))
    return hashlib.blake2b(data, digest_size=16).digest(), tuple(places)


def _error_of_setup(program: Program, setup: bytes | None) -> str | None:
    """Run the program's `setup`, and return what it raised, if anything."""
    program.take_over()
    if setup is None:
        return None
    try:
        pickle.loads(setup)()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _loaded_constant(key: str) -> SharedConstant:
    return SharedConstant(constant(key))

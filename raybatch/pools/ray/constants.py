"""What travels to each actor once, however many tasks refer to it: the source above all. Both sides of the way."""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray import cloudpickle
from ray import exceptions as ray_errors

from raybatch.errors import RemoteError
from raybatch.faults import advice
from raybatch.foreign_randomness import KINDS, ForeignRandomness
from raybatch.notices import tell
from raybatch.object_graph import reached
from raybatch.pools.ray.hosts import address
from raybatch.pools.ray.program import Program
from raybatch.pools.ray.unpicklable import parts_in_pickle, unpicklable
from raybatch.pools.session import SharedConstant


@dataclass(frozen=True)
class _Unloaded:
    """Stands for a constant that could not be loaded, because of `error`."""

    error: Exception


# The constants of this process, by key. An actor is the only user of its process.
_constants: dict[str, Any] = {}


def keep(key: str, ref: Any, program: Program) -> None:
    """Get the constant behind `ref`, which is of `program`, in this actor; what goes wrong is raised where it is used."""
    try:
        program.take_over()
        _constants[key] = ray.get(ref)
    except ray_errors.RaySystemError as error:
        raised = error.client_exc
        _constants[key] = _Unloaded(raised if isinstance(raised, Exception) else error)
    except Exception as error:
        _constants[key] = _Unloaded(error)


def drop(key: str) -> None:
    """Let go of a constant."""
    _constants.pop(key, None)


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


def unpacked(item: Any) -> Any:
    """Return the item that was `packed`."""
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

    def copied(self) -> Any:
        """Return a copy of the value, as each actor has one; its arrays lie in the object store."""
        return ray.get(self.ref)

    def is_current(self, program: Program) -> bool:
        """Return whether neither the value has changed, nor what its program has set."""
        return program == self.program and _content(self.value) == self._content

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


# Who draws from one that is not seeded draws in each actor the same as in the others, and something else than without a pool.
_TOLD_OF_GENERATORS = (
    "{} is a random generator: each actor draws from a copy of its own, so samples of different actors get the same numbers. Take a "
    "generator from raybatch, which has numbers of the sample's own: `fn(..., rng=rng)` in map_samples and in transforms, `rng=True` in map; "
    "or let it be seeded, with seed_globals=True of map, map_samples or ItemAccessor"
)


class _Pickler(cloudpickle.Pickler):
    """Pickles an object, and notes the random generators in it, and those that are seeded for each sample."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self.generators: list[Any] = []
        self.seeded: list[Any] = []

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, KINDS):
            self.generators.append(obj)
        elif isinstance(obj, ForeignRandomness):
            self.seeded += obj.held()
        return super().reducer_override(obj)  # type: ignore[no-untyped-call]


def _content(value: Any) -> tuple[bytes, tuple[tuple[int, int], ...]] | None:
    """Return what tells whether `value` has changed: a digest of all but its arrays, and where those are in memory.

    None if it cannot be pickled. It is told if there is a random generator in it that is not seeded.
    """
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    pickler: Any = _Pickler(file, protocol=5, buffer_callback=buffers.append)
    try:
        pickler.dump(value)
    except Exception:
        return None
    seeded = set(map(id, pickler.seeded))
    for generator in pickler.generators:
        if id(generator) not in seeded:
            within = reached("source", value, parts_in_pickle)
            path = next((path for path, part in within if part is generator), "source")
            tell(_TOLD_OF_GENERATORS.format(path))
            break
    places = []
    for buffer in buffers:
        with buffer.raw() as raw:
            places.append((np.frombuffer(raw, np.uint8).ctypes.data, raw.nbytes))
    return hashlib.blake2b(file.getbuffer(), digest_size=16).digest(), tuple(places)


def _loaded_constant(key: str) -> SharedConstant:
    return SharedConstant(constant(key))

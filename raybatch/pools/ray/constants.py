"""Sends constants, such as the source, to each actor once, and keeps them there."""

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
    """Takes the place of a constant that could not be loaded because of `error`."""

    error: Exception


# The constants of this process, by key. A process runs at most one actor.
_constants: dict[str, Any] = {}


def keep(key: str, ref: Any, program: Program) -> None:
    """Load the constant behind `ref`, which belongs to `program`, into this actor.

    If that fails, `constant` raises the error later.
    """
    try:
        program.take_over()
        _constants[key] = ray.get(ref)
    except ray_errors.RaySystemError as error:
        raised = error.client_exc
        _constants[key] = _Unloaded(raised if isinstance(raised, Exception) else error)
    except Exception as error:
        _constants[key] = _Unloaded(error)


def drop(key: str) -> None:
    """Drop a constant."""
    _constants.pop(key, None)


def packed(item: Any) -> tuple[Any, list[RayConstant]]:
    """Return `item` as bytes, and the constants in it.

    If only Ray's own pickler can handle `item`, it is returned as it is. That pickler calls back
    into Python for each object, and takes several times as long for the indices of a batch.
    """
    found: list[RayConstant] = []
    _pickled_constants.found = found
    try:
        data = pickle.dumps(item, protocol=5)
        # Workers cannot import the main module of the program. Ray's pickler sends it by value.
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
    """Return the item that `packed` was called with."""
    return pickle.loads(item) if isinstance(item, bytes) else item


def constant(key: str) -> Any:
    """Return a constant of this worker; RemoteError if loading it failed."""
    if key not in _constants:
        raise RemoteError(f"this worker did not get the constant {key}")
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
    """The constants that this thread has pickled as parts of the current request."""

    def __init__(self) -> None:
        self.found: list[RayConstant] = []


_pickled_constants = _PickledConstants()


class RayConstant(SharedConstant):
    """A constant in the object store, and the settings of its program. Requests refer to it by key.

    It gets a new key each time it is sent. The keys begin with `user`. `forget` is called with each
    key when it is no longer in use.
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
        """Return a copy of the value, like the one in each actor. Its arrays stay in the store."""
        return ray.get(self.ref)

    def is_current(self, program: Program) -> bool:
        """Return whether the value and the settings of its program are unchanged."""
        return program == self.program and _content(self.value) == self._content

    def renew(self, program: Program) -> None:
        """If the value or its program has changed, send both again with later requests.

        An array is compared by its address, so one that is changed in place is not sent again.
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


# A generator that is not seeded for each sample gives the same numbers in every actor, and
# different numbers without a pool.
_GENERATOR_WARNING = (
    "{} is a random generator: each actor draws from its own copy, so samples of different actors "
    "get the same numbers. Use raybatch's generator, which is seeded for each sample: "
    "`fn(..., rng=rng)` in map_samples and in transforms, `rng=True` in map. Or have this one "
    "seeded, with seed_globals=True of map, map_samples or ItemAccessor"
)


class _Pickler(cloudpickle.Pickler):
    """Pickles an object, and collects its random generators; raybatch seeds those in `seeded`."""

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
    """Return a digest of `value` without its arrays, and the addresses and sizes of the arrays.

    The result differs after `value` has changed, unless only the content of an array has changed.
    It is None if `value` cannot be pickled. Warn the user if `value` holds a random generator that
    raybatch does not seed.
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
            tell(_GENERATOR_WARNING.format(path))
            break
    places = []
    for buffer in buffers:
        with buffer.raw() as raw:
            places.append((np.frombuffer(raw, np.uint8).ctypes.data, raw.nbytes))
    return hashlib.blake2b(file.getbuffer(), digest_size=16).digest(), tuple(places)


def _loaded_constant(key: str) -> SharedConstant:
    return SharedConstant(constant(key))

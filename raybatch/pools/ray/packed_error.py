"""Sends an exception from a worker to the driver."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ray import cloudpickle

from raybatch.errors import RemoteError
from raybatch.making.request import Result
from raybatch.pools.ray.hosts import address

_PACKAGE = f"{Path(__file__).parents[2]}{os.sep}"


@dataclass(frozen=True)
class PackedError:
    """An exception in a form that can always be sent and unpickled.

    `chain` holds the exception and its causes, each pickled separately (None if that failed), with
    its type and message as text. `text` holds the host and the traceback.
    """

    chain: tuple[tuple[bytes | None, str], ...]
    text: str

    @classmethod
    def pack(cls, error: BaseException) -> PackedError:
        text = f"on host {address()}:\n{_foreign_traceback(error)}"
        chain = ((_pickled(link), f"{type(link).__name__}: {link}") for link in _causes(error))
        return cls(tuple(chain), text)

    def unpack(self) -> Exception:
        """Return the exception with its causes. The last cause has the worker's traceback."""
        origin: BaseException = RemoteError(f"the traceback in the worker {self.text}")
        for packed, summary in reversed(self.chain):
            link = _unpickled(packed)
            if link is None:
                link = RemoteError(f"{summary} (the exception itself cannot be sent)")
            link.__cause__ = origin
            origin = link
        if not isinstance(origin, Exception):
            origin = RemoteError(self.chain[0][1])
        return origin


def _foreign_traceback(error: BaseException) -> str:
    """Return the traceback of `error` and its causes, without the frames of this package.

    The frames of the program and of its libraries remain. If an error has only frames of this
    package, its last frame remains.
    """
    told: traceback.TracebackException | None
    told = first = traceback.TracebackException.from_exception(error)
    while told is not None:
        foreign = [frame for frame in told.stack if not frame.filename.startswith(_PACKAGE)]
        told.stack = traceback.StackSummary.from_list(foreign or told.stack[-1:])
        told = told.__cause__ or told.__context__
    return "".join(first.format())


def with_error_packed(result: Result) -> Result:
    """Return `result` with its error, if any, as a PackedError."""
    if result.error is None:
        return result
    return result._replace(error=PackedError.pack(result.error))


def with_error_unpacked(result: Result) -> Result:
    """Return `result` with its error, if any, as the worker raised it."""
    if result.error is None:
        return result
    return result._replace(error=result.error.unpack())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _pickled(error: BaseException) -> bytes | None:
    try:
        data: bytes = cloudpickle.dumps(error)
    except Exception:
        return None
    return data


def _unpickled(data: bytes | None) -> BaseException | None:
    try:
        error = None if data is None else cloudpickle.loads(data)
    except Exception:
        return None
    return error if isinstance(error, BaseException) else None

"""The exceptions that raybatch raises of its own; wrong arguments are plain ValueError and TypeError.

    RaybatchError
    ├── SampleReadError (OSError)     one sample of the user's data cannot be read
    ├── ImageReadError (OSError)      an encoded image cannot be decoded
    ├── TransformError (RuntimeError) a transform of images failed; the cause says why
    ├── StorageError (OSError)        where samples lie is not there, or refuses, or cannot be reached
    ├── BatchError (RuntimeError)     a batch cannot be made; the cause says why
    │   └── FirstSampleError          the sample that is tried where a loader is made cannot be made
    ├── HostError (OSError)           a host cannot read what this process can
    ├── BadSamplesError (RuntimeError) more samples are bad than the limit allows
    ├── ReturnError (TypeError)       a function or array-like of the program's own returned no batch
    ├── RemoteError (RuntimeError)    what a worker raised, where the exception itself cannot travel
    ├── WorkerLostError (RuntimeError) the worker died, or its host or its result was lost
    ├── PackError (OSError)           packed files are unfinished, damaged, or were made otherwise
    ├── PoolError (RuntimeError)      the pool is closed, or has no worker to offer
    └── StateError (ValueError)       a saved state does not fit this loader

Each can be pickled, so it looks the same in this process and from an actor.
"""

from __future__ import annotations


class RaybatchError(Exception):
    """The root of the tree: catch it to catch everything that raybatch itself reports."""


class SampleReadError(RaybatchError, OSError):
    """One sample cannot be read: `path`, `index` in its accessor, `reason`, and `format`, None if unknown.

    `is_broken` is true if its bytes could be read, and not be decoded.
    """

    def __init__(
        self,
        path: str,
        index: int,
        reason: str,
        format: str | None = None,  # noqa: A002
        is_broken: bool = False,
    ) -> None:
        kind = "" if format is None else f" ({format})"
        super().__init__(f"cannot read sample {index}, {path!r}{kind}: {reason}")
        self.path = path
        self.index = index
        self.reason = reason
        self.format = format
        self.is_broken = is_broken

    def __reduce__(self) -> tuple[type[SampleReadError], tuple[str, int, str, str | None, bool]]:
        return type(self), (self.path, self.index, self.reason, self.format, self.is_broken)


class ImageReadError(RaybatchError, OSError):
    """An encoded image cannot be decoded: its `format`, None if it has none that is allowed, and `reason`."""

    def __init__(self, format: str | None, reason: str) -> None:  # noqa: A002 - Pillow's name for it
        super().__init__(f"cannot decode the image, of format {format}: {reason}")
        self.format = format
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageReadError], tuple[str | None, str]]:
        return type(self), (self.format, self.reason)


class TransformError(RaybatchError, RuntimeError):
    """A transform of images, often a function of the program's own, failed at one; `__cause__` says why."""


class StorageError(RaybatchError, OSError):
    """The place where samples lie is at fault: a folder, host or bucket is gone, credentials are refused, a disk fails.

    It is never taken for a bad sample.
    """


class BatchError(RaybatchError, RuntimeError):
    """Batch number `batch` of epoch `epoch` (both from 0) cannot be made; `__cause__` says why."""

    def __init__(self, epoch: int, batch: int, reason: str) -> None:
        super().__init__(f"cannot make batch {batch} of epoch {epoch}: {reason}")
        self.epoch = epoch
        self.batch = batch
        self.reason = reason

    def __reduce__(self) -> tuple[type[BatchError], tuple[int, int, str]]:
        return type(self), (self.epoch, self.batch, self.reason)


class FirstSampleError(BatchError):
    """The sample that a loader tries where it is made cannot be made; `__cause__` says why. `epoch` and `batch` are 0."""

    def __init__(self, reason: str) -> None:
        super().__init__(0, 0, reason)
        self.args = (
            f"cannot read the first sample of the source: {reason}. check_sample=False makes the loader without this try",
        )

    def __reduce__(self) -> tuple[type[FirstSampleError], tuple[str]]:  # type: ignore[override]
        return type(self), (self.reason,)


class HostError(RaybatchError, OSError):
    """A sample can be read in this process, and not on other hosts: `hosts` has what went wrong there, by address.

    `advice` says what to do about it, "" if that is not known.
    """

    def __init__(self, sample: str, hosts: dict[str, str], advice: str = "") -> None:
        there = "; ".join(f"host {host}: {error}" for host, error in sorted(hosts.items()))
        what_to_do = f". {advice}" if advice else ""
        super().__init__(
            f"{sample} can be read in this process, but not everywhere: {there}{what_to_do}"
        )
        self.sample = sample
        self.hosts = hosts
        self.advice = advice

    def __reduce__(self) -> tuple[type[HostError], tuple[str, dict[str, str], str]]:
        return type(self), (self.sample, self.hosts, self.advice)


class BadSamplesError(RaybatchError, RuntimeError):
    """More samples cannot be read than `BadSamples.limit` allows, or none can be found to replace one."""


class ReturnError(RaybatchError, TypeError):
    """What a function or an array-like of the program's own returned is no batch or sample, or no batch can be made of its samples.

    No sample is at fault.
    """


class RemoteError(RaybatchError, RuntimeError):
    """Stands for what a worker raised where that cannot be sent or raised here, such as `SystemExit`."""


class WorkerLostError(RaybatchError, RuntimeError):
    """The worker that made a batch died, or its host or its result was lost, more often than allowed."""


class PackError(RaybatchError, OSError):
    """A folder of packed files cannot be read, because it is unfinished or damaged, or cannot be gone on with."""


class PoolError(RaybatchError, RuntimeError):
    """The pool is closed, cannot reach its cluster, or no worker of it started in time."""


class StateError(RaybatchError, ValueError):
    """A saved state does not fit: its `field` was `saved`, and is `now` something else."""

    def __init__(self, field: str, saved: object, now: object) -> None:
        super().__init__(
            f"the state cannot be loaded: its {field} is {saved!r}, here it is {now!r}"
        )
        self.field = field
        self.saved = saved
        self.now = now

    def __reduce__(self) -> tuple[type[StateError], tuple[str, object, object]]:
        return type(self), (self.field, self.saved, self.now)

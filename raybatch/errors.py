"""The exceptions that raybatch raises itself. A wrong argument is a plain ValueError or TypeError.

    RaybatchError
    ├── SampleReadError (OSError)     one sample of the user's data cannot be read
    ├── ImageReadError (OSError)      an encoded image cannot be decoded
    ├── TransformError (RuntimeError) a transform of images failed; the cause says why
    ├── StorageError (OSError)        the storage of the samples is gone, refuses or is out of reach
    ├── BatchError (RuntimeError)     a batch cannot be made; the cause says why
    │   └── FirstSampleError          a new loader cannot read its first sample
    ├── HostError (OSError)           another host cannot read a sample that this process can
    ├── BadSamplesError (RuntimeError) more samples are bad than the limit allows
    ├── ReturnError (TypeError)       a function or array-like of the program returned no batch
    ├── RemoteError (RuntimeError)    replaces a worker's error that cannot be sent or raised here
    ├── WorkerLostError (RuntimeError) a worker died, or its host or its result was lost
    ├── PackError (OSError)           packed files are unfinished or damaged, or differ in settings
    ├── PoolError (RuntimeError)      the pool is closed, or has no worker
    └── StateError (ValueError)       a saved state does not fit this loader

All of them pickle, so an error from an actor looks like one from this process.
"""

from __future__ import annotations


class RaybatchError(Exception):
    """The base class: catch it to catch every error that raybatch itself raises."""


def add_note(error: BaseException, text: str) -> None:
    """Add `text` to what `told` returns. Python 3.11 and later show it with the traceback too."""
    error.__dict__.setdefault("__notes__", []).append(text)


def told(error: BaseException) -> str:
    """Return the type, the text and the notes of `error`."""
    said = f"{type(error).__name__}: {error}"
    return ", ".join([said, *getattr(error, "__notes__", ())])


class SampleReadError(RaybatchError, OSError):
    """A sample cannot be read.

    Args:
        path: The file of the sample.
        index: The index of the sample in its accessor.
        reason: Why the sample cannot be read.
        format: The image format, or None if it is unknown.
        is_broken: Whether the bytes could be read, but not decoded.
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
    """An encoded image cannot be decoded.

    `format` is None if the image has none of the allowed formats. `reason` says why.
    """

    def __init__(self, format: str | None, reason: str) -> None:  # noqa: A002
        super().__init__(f"cannot decode the image, of format {format}: {reason}")
        self.format = format
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageReadError], tuple[str | None, str]]:
        return type(self), (self.format, self.reason)


class TransformError(RaybatchError, RuntimeError):
    """A transform failed on an image; `__cause__` is the error, often of the program's own code."""


class StorageError(RaybatchError, OSError):
    """The storage of the samples is at fault, not a single sample.

    For example, a folder, host or bucket is gone, credentials are refused, or a disk fails. This
    error never counts as a bad sample.
    """


class BatchError(RaybatchError, RuntimeError):
    """Batch `batch` of epoch `epoch`, both counted from 0, cannot be made; `__cause__` says why."""

    def __init__(self, epoch: int, batch: int, reason: str) -> None:
        super().__init__(f"cannot make batch {batch} of epoch {epoch}: {reason}")
        self.epoch = epoch
        self.batch = batch
        self.reason = reason

    def __reduce__(self) -> tuple[type[BatchError], tuple[int, int, str]]:
        return type(self), (self.epoch, self.batch, self.reason)


class FirstSampleError(BatchError):
    """A new loader cannot read its first sample.

    `__cause__` says why, and `problem` too; the message adds how to switch the trial off. `epoch`
    and `batch` are 0.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(0, 0, reason)
        self.problem = f"cannot read the first sample of the source: {reason}"
        self.args = (f"{self.problem}. With check_sample=False, the loader does not try a sample",)

    def __reduce__(self) -> tuple[type[FirstSampleError], tuple[str]]:  # type: ignore[override]
        return type(self), (self.reason,)


class HostError(RaybatchError, OSError):
    """A sample can be read in this process, but not on other hosts.

    `hosts` maps the address of each host that failed to its error. `advice` says what to do, or is
    "".
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
    """More samples are bad than `BadSamples.limit` allows, or no sample can replace a bad one."""


class ReturnError(RaybatchError, TypeError):
    """A function or array-like of the program returned something other than a batch or sample.

    Also raised for samples that cannot be collated into a batch. No single sample is at fault.
    """


class RemoteError(RaybatchError, RuntimeError):
    """Replaces an error of a worker that cannot be sent to this process or raised here.

    One example is `SystemExit`.
    """


class WorkerLostError(RaybatchError, RuntimeError):
    """A batch was lost more often than allowed: its worker or host died, or its result is gone."""


class PackError(RaybatchError, OSError):
    """A folder of packed files is unfinished or damaged, or packing cannot continue in it."""


class PoolError(RaybatchError, RuntimeError):
    """The pool is closed, cannot reach its cluster, or none of its workers started in time."""


class StateError(RaybatchError, ValueError):
    """A saved state does not fit this loader.

    `field` names the setting that differs: it is `saved` in the state, and `now` in this loader.
    `saved` is "missing" if the state lacks the field.
    """

    def __init__(self, field: str, saved: object, now: object) -> None:
        super().__init__(f"the state cannot be loaded: {_mismatch(field, saved, now)}")
        self.field = field
        self.saved = saved
        self.now = now

    def __reduce__(self) -> tuple[type[StateError], tuple[str, object, object]]:
        return type(self), (self.field, self.saved, self.now)


def _mismatch(field: str, saved: object, now: object) -> str:
    if saved == "missing":
        return f"it has no {field!r}, so it is not the state of a loader of this kind"
    if field == "version":
        return f"its version is {saved!r}, and this loader reads {now}"
    return (
        f"it was saved with {_setting(field, saved)}, but this loader has {_setting(field, now)}."
        " Make the loader as it was then, or begin without the state"
    )


def _setting(field: str, value: object) -> str:
    """Return a setting of a loader in words: seed 7, 100 samples."""
    member, _, field = field.rpartition(".")
    where = f" in {member.replace('members.', 'member ')}" if member else ""
    if value is None:
        return f"no {field}{where}"
    if field == "shuffle":
        return f"seed {value}" if isinstance(value, int) else f"a {value} as shuffle"
    if field in ("samples", "batches", "generators", "samplers"):
        return f"{value} {field.removesuffix('s') if value == 1 else field}{where}"
    return f"{field} {value}{where}"

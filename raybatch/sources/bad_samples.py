"""What is done about samples that cannot be read: the setting, and the record of one."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

POLICIES = ("raise", "skip", "replace")


@dataclass(frozen=True)
class BadSamples:
    """What to do about a sample that cannot be read.

    `policy`: "raise" the error; "skip" the sample, so that every array of its batch is one row shorter; or
    "replace" it, in every array, by another sample of the source, drawn by the seed, the epoch and the sample.
    If an epoch has more than `limit` bad samples, a count or a fraction of its samples below 1, that is an
    error; None: no limit.
    """

    policy: str = "raise"
    limit: int | float | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"BadSamples.policy must be one of {POLICIES}, not {self.policy!r}")
        if self.limit is None:
            return
        if isinstance(self.limit, bool) or not isinstance(
            self.limit, (int, float, np.integer, np.floating)
        ):
            raise TypeError(f"BadSamples.limit must be a count or a fraction, not {self.limit!r}")
        if isinstance(self.limit, (float, np.floating)) and not 0 <= self.limit < 1:
            raise ValueError(
                f"BadSamples.limit must be a count (an int), or a fraction from 0 to below 1, not {self.limit}"
            )
        if self.limit < 0:
            raise ValueError(f"BadSamples.limit must be 0 or more, not {self.limit}")

    @classmethod
    def of(cls, setting: Any) -> BadSamples:
        """Return `setting`, which may also be the policy alone."""
        if isinstance(setting, str):
            return cls(setting)
        if not isinstance(setting, BadSamples):
            raise TypeError(
                f"bad_samples must be one of {POLICIES} or a BadSamples, not {setting!r}"
            )
        return setting

    def allowed(self, num_samples: int | float | None) -> int | float:
        """Return how many samples of an epoch of `num_samples` may be bad.

        ValueError if the limit is a fraction, and the number is not known or endless.
        """
        if self.limit is None:
            return np.inf
        if not isinstance(self.limit, (float, np.floating)):
            return operator.index(self.limit)
        if num_samples is None or num_samples == np.inf:
            raise ValueError(
                f"BadSamples.limit is the fraction {self.limit}, but the source has no known number of "
                "samples: give a count"
            )
        return int(self.limit * num_samples)


@dataclass(frozen=True, slots=True)
class BadSample:
    """A sample that could not be read, in batch `batch` of epoch `epoch`, both from 0.

    `index` is its absolute index in its source; `member` says in which one of composite and choice sources:
    `(1, 0)` is member 0 of member 1, `()` the source itself. `path` is that of its file, "" if unknown;
    `error` and `message` are those of the exception.
    """

    index: int
    error: str
    message: str
    path: str = ""
    member: tuple[int, ...] = ()
    epoch: int = 0
    batch: int = 0

    @classmethod
    def of(cls, index: int, error: BaseException, path: str) -> BadSample:
        """Return the record of sample `index` of a source without members, whose reading raised `error`."""
        return cls(index, type(error).__name__, str(error), path)

    def under(self, member: int) -> BadSample:
        """Return this sample as one of a source of which its own is `member`."""
        return replace(self, member=(member, *self.member))

    def at(self, epoch: int, batch: int) -> BadSample:
        """Return this sample as met in that batch."""
        return replace(self, epoch=epoch, batch=batch)

    def __str__(self) -> str:
        member = f" of member {self.member}" if self.member else ""
        path = f", {self.path!r}" if self.path else ""
        return f"sample {self.index}{member}{path}"

    @property
    def place(self) -> Place:
        """What tells it from all other samples."""
        return self.member, self.index


Place = tuple[tuple[int, ...], int]

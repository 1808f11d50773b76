"""What is done about samples that cannot be read."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybatch.faults import Fault
from raybatch.sources import DataSource, has_equal_lengths

POLICIES = ("raise", "skip", "replace")

# The limit "auto".
_AUTO_COUNT, _AUTO_FRACTION = 10, 0.01


@dataclass(frozen=True)
class BadSamples:
    """What to do about a sample that cannot be read.

    `policy`: "raise" the error; "skip" the sample, so that every array of its batch is one row shorter; or
    "replace" it, in every array, by another sample of the source, drawn by the seed, the epoch and the sample.

    If an epoch has more than `limit` bad samples, a count or a fraction of its samples below 1, that is an error. "auto":
    one in a hundred, but ten in any case and never all, since collections from the web have some broken files in a thousand, and what
    takes more has a cause in common. None: no limit. Of several ranks, each counts its own.

    A sample is not bad where credentials are refused, a folder or a host is gone, or a disk or a network fails: that is an
    error whatever the policy. Nor is it where the program's own code is wrong (NameError, TypeError, AttributeError,
    AssertionError, KeyError, IndexError, ImportError and their like), unless `program_errors` is true.
    """

    policy: str = "raise"
    limit: int | float | str | None = "auto"
    program_errors: bool = False

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"BadSamples.policy must be one of {POLICIES}, not {self.policy!r}")
        if self.limit is None or self.limit == "auto":
            return
        if isinstance(self.limit, bool) or not isinstance(
            self.limit, (int, float, np.integer, np.floating)
        ):
            raise TypeError(
                f'BadSamples.limit must be a count, a fraction, "auto" or None, not {self.limit!r}'
            )
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

    def check_limit(self, num_samples: int | float | None) -> None:
        """Raise ValueError if the limit is a fraction of a number of samples that is not known or endless."""
        if isinstance(self.limit, (float, np.floating)) and num_samples in (None, np.inf):
            raise ValueError(
                f"BadSamples.limit is the fraction {self.limit}, but the source has no known number of "
                "samples: give a count"
            )

    def allowed(self, num_samples: int | float, *, is_all: bool = True) -> int | float:
        """Return how many of `num_samples` may be bad: of an epoch or, unless it `is_all`, of as much of it as has come."""
        if self.limit is None:
            return np.inf
        if isinstance(self.limit, str):
            most = max(_AUTO_COUNT, int(_AUTO_FRACTION * num_samples))
            return min(most, num_samples - 1) if is_all else most
        if isinstance(self.limit, (float, np.floating)):
            return int(self.limit * num_samples)
        return operator.index(self.limit)

    def tolerates(self, fault: Fault) -> bool:
        """Return whether a sample with an error of such a fault is skipped or replaced."""
        return fault is Fault.SAMPLE or (fault is Fault.PROGRAM and self.program_errors)


def check_tolerable(source: DataSource, setting: BadSamples) -> None:
    """Raise ValueError if samples of `source` cannot be skipped or replaced one by one."""
    if setting.policy != "raise" and not has_equal_lengths(source):
        raise ValueError(
            "the arrays of a composite with trim=False may differ in length, so a sample of it cannot be "
            f'skipped or replaced: let it trim, or use bad_samples="raise", not {setting.policy!r}'
        )

"""What is done about samples that cannot be read."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybatch.sources import DataSource, has_equal_lengths

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


def check_tolerable(source: DataSource, setting: BadSamples) -> None:
    """Raise ValueError if samples of `source` cannot be skipped or replaced one by one."""
    if setting.policy != "raise" and not has_equal_lengths(source):
        raise ValueError(
            "the arrays of a composite with trim=False may differ in length, so a sample of it cannot be "
            f'skipped or replaced: let it trim, or use bad_samples="raise", not {setting.policy!r}'
        )

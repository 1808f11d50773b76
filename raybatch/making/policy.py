"""The setting for samples that cannot be read."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybatch.faults import Fault
from raybatch.sources.source import DataSource, has_equal_lengths

POLICIES = ("raise", "skip", "replace")

# limit="auto" allows 1 % of the samples, and at least 10 samples.
_AUTO_COUNT, _AUTO_FRACTION = 10, 0.01


@dataclass(frozen=True)
class BadSamples:
    """What to do about samples that cannot be read.

    A sample is bad only if it is itself at fault. If credentials are refused, a folder or a host is
    missing, or a disk or a network fails, that is an error under every policy.

    Args:
        policy: "raise" raises the error. "skip" leaves the sample out, so every array of its batch
            is one row shorter. "replace" puts another sample of the source in its place, in every
            array; the seed, the epoch and the sample determine which one.
        limit: The number of bad samples that an epoch can have; one more raises BadSamplesError. It
            is a count (int), a fraction of the epoch's samples (float below 1), or None for no
            limit. "auto" is 1 % but at least 10, and never all samples: web data sets have a few
            broken files in a thousand, and if there are more, they usually have a common cause.
            Each rank counts its own bad samples.
        program_errors: Whether a sample is also bad if the program's own code raises an error such
            as NameError, TypeError, AttributeError, AssertionError, KeyError, IndexError or
            ImportError.
        tell: Whether one line on standard error reports the bad samples of each epoch. Set it to
            False if the program shows the loader's `bad_samples` itself.
    """

    policy: str = "raise"
    limit: int | float | str | None = "auto"
    program_errors: bool = False
    tell: bool = True

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
                "BadSamples.limit must be a count (an int), or a fraction from 0 to below 1, not "
                f"{self.limit}"
            )
        if self.limit < 0:
            raise ValueError(f"BadSamples.limit must be 0 or more, not {self.limit}")

    @classmethod
    def of(cls, setting: Any) -> BadSamples:
        """Return `setting` as a BadSamples; a str is its policy. TypeError for anything else."""
        if isinstance(setting, str):
            return cls(setting)
        if not isinstance(setting, BadSamples):
            raise TypeError(
                f"bad_samples must be one of {POLICIES} or a BadSamples, not {setting!r}"
            )
        return setting

    def check_limit(self, num_samples: int | float | None) -> None:
        """Raise ValueError if the limit is a fraction and `num_samples` is unknown or infinite."""
        if isinstance(self.limit, (float, np.floating)) and num_samples in (None, np.inf):
            raise ValueError(
                f"BadSamples.limit is the fraction {self.limit}, but the number of samples is "
                "unknown or infinite: set limit to a count"
            )

    def allowed(self, num_samples: int | float, *, is_all: bool = True) -> int | float:
        """Return how many of `num_samples` can be bad.

        `is_all` is true for a whole epoch, and false for the samples of an epoch so far.
        """
        if self.limit is None:
            return np.inf
        if isinstance(self.limit, str):
            most = max(_AUTO_COUNT, int(_AUTO_FRACTION * num_samples))
            return min(most, num_samples - 1) if is_all else most
        if isinstance(self.limit, (float, np.floating)):
            return int(self.limit * num_samples)
        return operator.index(self.limit)

    def tolerates(self, fault: Fault) -> bool:
        """Return whether a sample with this fault can be skipped or replaced."""
        return fault is Fault.SAMPLE or (fault is Fault.PROGRAM and self.program_errors)


def check_tolerable(source: DataSource, setting: BadSamples) -> None:
    """Raise ValueError if samples of `source` cannot be skipped or replaced one by one."""
    if setting.policy != "raise" and not has_equal_lengths(source):
        raise ValueError(
            "a composite with trim=False can have arrays of different lengths, so its samples "
            f'cannot be skipped or replaced: use trim=True, or bad_samples="raise", not '
            f"{setting.policy!r}"
        )

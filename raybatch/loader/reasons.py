"""The reason why a batch cannot be made: the sample, the error, and why it is not skipped."""

from __future__ import annotations

from collections.abc import Iterable

from raybatch.errors import ReturnError, SampleReadError, told
from raybatch.faults import Fault, fault_of
from raybatch.making.policy import BadSamples
from raybatch.sources.ledger import BadSample


def reason_of(error: BaseException, bad: Iterable[BadSample], setting: BadSamples) -> str:
    """Return the type and text of `error`, after the names of the `bad` samples.

    A name that the text has is not repeated.

    If `setting` skips or replaces bad samples, the reason says why it does not do so here. If not,
    it says how to skip a sample that cannot be read.
    """
    said = told(error)
    reason = "".join(f"{sample}: " for sample in bad if not sample.is_named_in(said)) + said
    if setting.policy != "raise" and not isinstance(error, ReturnError):
        reason += _why_not_bad(fault_of(error), setting)
    elif isinstance(error, SampleReadError):
        reason += '. With bad_samples="skip", such samples are left out'
    return reason


def _why_not_bad(fault: Fault, setting: BadSamples) -> str:
    """Return why samples with this `fault` are neither skipped nor replaced."""
    if fault in (Fault.PLACE, Fault.PASSING):
        return (
            ". The sample does not count as bad, because the storage is at fault, and other samples"
            " fail too"
        )
    if fault is Fault.PROGRAM and not setting.program_errors:
        return (
            ". The sample does not count as bad, because the program's own code raised the error."
            f" Fix the code, or use BadSamples({setting.policy!r}, program_errors=True)"
        )
    return ""

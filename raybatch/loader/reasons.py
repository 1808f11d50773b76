"""Why a batch cannot be made, in words: the sample, the error, and why it is no bad sample."""

from __future__ import annotations

from collections.abc import Iterable

from raybatch.errors import ReturnError
from raybatch.faults import Fault, fault_of
from raybatch.making import BadSamples


def reason_of(error: BaseException, names: Iterable[object], setting: BadSamples) -> str:
    """Return what `error` is and says, after the `names` of its samples unless it says them itself.

    Where `setting` skips or replaces bad samples, the reason says why it does not do so here.
    """
    said = f"{type(error).__name__}: {error}"
    reason = "".join(f"{name}: " for name in names if str(name) not in said) + said
    if setting.policy != "raise" and not isinstance(error, ReturnError):
        reason += _why_not_bad(fault_of(error), setting)
    return reason


def _why_not_bad(fault: Fault, setting: BadSamples) -> str:
    """Return why samples are neither skipped nor replaced that raise an error of such a fault."""
    if fault in (Fault.PLACE, Fault.PASSING):
        return ". That is no bad sample: the place where the samples are is at fault, and others have it too"
    if fault is Fault.PROGRAM and not setting.program_errors:
        return (
            ". That is no bad sample: the program's own code is wrong at it. Mend that; or "
            f"BadSamples({setting.policy!r}, program_errors=True) takes such samples for bad ones"
        )
    return ""

"""How functions are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.extending import register_jitable

Function = TypeVar("Function", bound=Callable[..., Any])
# For functions that are compiled as part of those that call them.
inlined: Callable[[Function], Function] = register_jitable


def compiled_for(signature: Any) -> Callable[[Function], Function]:
    """Compile a function for `signature`, and keep the machine code on the disk where there is a place for it."""

    def decorate(function: Function) -> Function:
        try:
            machine = numba.njit(signature, nogil=True, cache=True)(function)
        except RuntimeError:  # no folder that can be written to
            machine = numba.njit(signature, nogil=True)(function)
        return machine  # type: ignore[no-any-return]

    return decorate

"""Retries of transient errors."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from raybatch.faults import Fault, fault_of

T = TypeVar("T")


@dataclass(frozen=True)
class Retries:
    """At most `attempts` attempts.

    The first wait is `first_s / 2` to `first_s` seconds, at random; each further wait is about
    twice as long as the one before.
    """

    attempts: int = 4
    first_s: float = 0.2
    sleep: Callable[[float], None] = time.sleep

    def call(self, fn: Callable[..., T], *arguments: Any) -> T:
        """Return `fn(*arguments)`.

        Try again after a transient error, and raise any other at once.
        """
        for attempt in range(self.attempts - 1):
            try:
                return fn(*arguments)
            except Exception as error:
                if fault_of(error) is not Fault.PASSING:
                    raise
            # A busy server may have refused many readers at the same time; they should not all come
            # back at the same time. The system's random numbers leave the program's own generators
            # untouched.
            self.sleep(self.first_s * 2**attempt * random.SystemRandom().uniform(0.5, 1))
        return fn(*arguments)

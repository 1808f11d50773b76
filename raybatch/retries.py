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

    The first wait is about `first_s` seconds, and each next one twice as long.
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
            # Readers that a busy server refused at the same time should not come back at the same
            # time. The system's random numbers leave the program's own generators untouched.
            self.sleep(self.first_s * 2**attempt * random.SystemRandom().uniform(0.5, 1))
        return fn(*arguments)

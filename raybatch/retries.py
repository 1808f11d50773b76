"""What fails in passing is tried again."""

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
    """At most `attempts` attempts, with waits of about `first_s` seconds, then twice that, and so on."""

    attempts: int = 4
    first_s: float = 0.2
    sleep: Callable[[float], None] = time.sleep

    def call(self, fn: Callable[..., T], *arguments: Any) -> T:
        """Return `fn(*arguments)`; what it raises is raised at once unless it may pass."""
        for attempt in range(self.attempts - 1):
            try:
                return fn(*arguments)
            except Exception as error:
                if fault_of(error) is not Fault.PASSING:
                    raise
            # Readers that a busy server refused together should not come back together. The random
            # numbers are the system's: those of the program stay as they are.
            self.sleep(self.first_s * 2**attempt * random.SystemRandom().uniform(0.5, 1))
        return fn(*arguments)

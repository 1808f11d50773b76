"""The driver: plan + scheduler + pool → an ordered iterator over epochs."""

from raybatch.loader.loader import Loader
from raybatch.loader.plan import Plan, Task

__all__ = ["Loader", "Plan", "Task"]

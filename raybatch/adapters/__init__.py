"""Loaders for other frameworks: `raybatch.adapters.torch`, `jax`, `ray_train` and `ray_data`.

Each module needs the library that it is named after, and no other does. The first use of a module's
name here imports it.
"""

import importlib
from typing import Any

__all__ = ["jax", "ray_data", "ray_train", "torch"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"Any", "importlib"})

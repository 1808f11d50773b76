"""Loaders for other frameworks. Each module needs only the library that it is named after.

The first use of a module, such as `raybatch.adapters.torch`, imports it.
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

"""Arrays in files, in the formats of several libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


def memory_map(folder: Path, values: Any) -> Any:
    np.save(folder / "data.npy", values)
    return np.load(folder / "data.npy", mmap_mode="r")


def hdf5(folder: Path, values: Any) -> Any:
    h5py: Any = pytest.importorskip("h5py")
    with h5py.File(folder / "data.h5", "w") as file:
        file["x/y"] = values
    return h5py.File(folder / "data.h5", "r")["x/y"]


def zarr_array(folder: Path, values: Any) -> Any:
    zarr: Any = pytest.importorskip("zarr")
    # Since version 3, zarr's arrays have a shape but no `__len__`.
    array = zarr.open(str(folder / "data.zarr"), mode="w", shape=values.shape, dtype=values.dtype)
    array[:] = values
    return array

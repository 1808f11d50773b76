"""Reads uint8 images as float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.arrays import gather, portable, sample_count


class ImageArrayUInt8ToFloat32:
    """The images in `arr_u8`, with uint8 values 0..255, as float32 `val_lower..val_upper`.

    `arr_u8` is an array or an accessor that returns arrays. Only the images that are read are
    converted.
    """

    def __init__(self, arr_u8: Any, val_lower: float = 0.0, val_upper: float = 1.0) -> None:
        self.arr_u8 = arr_u8
        self.offset = np.float32(val_lower)
        self.scale = np.float32((val_upper - val_lower) / 255.0)
        self.dtype = np.float32

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the underlying array; AttributeError if it has none."""
        try:
            shape: tuple[int, ...] = self.arr_u8.shape
        except AttributeError:
            raise AttributeError("Underlying array has no `shape` attribute") from None
        return shape

    def __len__(self) -> int:
        return sample_count(self.arr_u8)

    def __getitem__(self, index: Any) -> npt.NDArray[np.float32]:
        return self._floats(gather(self.arr_u8, index))

    @property
    def is_random(self) -> bool:
        """Whether `arr_u8` is an accessor whose images depend on random numbers."""
        return getattr(self.arr_u8, "is_random", False)

    def read_seeded(self, index: Any, rng_of: Any) -> npt.NDArray[np.float32]:
        """Return the images at `index`.

        `rng_of(row)` is the generator that `arr_u8` uses for the image in that row.
        """
        return self._floats(self.arr_u8.read_seeded(index, rng_of))

    def _floats(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        values: npt.NDArray[np.float32] = images.astype(np.float32)
        return values * self.scale + self.offset

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"arr_u8": portable(self.arr_u8)}

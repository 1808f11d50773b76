"""How the pixels of an image are laid out in an array: dtype, order of the axes, normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.image.kernel import usable_kernel
from raybatch.memory import ReusedMemory
from raybatch.stages import stage


@dataclass(frozen=True)
class PixelLayout:
    """The layout of image arrays.

    By default `dtype` is that of the mode, or float32 with `mean` and `std`. With `channels_first`
    an image is (C, H, W). Integers that become floats are first scaled to the range from 0 to 1, as
    in torchvision's `ToTensor`. Pixels of mode "F" or "I" have no known range and are not scaled.
    `mean` and `std`, each one number or one for each channel, then give `(x - mean) / std`, as in
    torchvision's `Normalize`.

    A reader raises ValueError if an integer `dtype` cannot hold its pixels.
    """

    dtype: npt.DTypeLike | None = None
    channels_first: bool = False
    mean: Sequence[float] | float | None = None
    std: Sequence[float] | float | None = None

    def __post_init__(self) -> None:
        dtype = self.dtype
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std must be given together")
        if self.mean is not None:
            object.__setattr__(self, "mean", _numbers("mean", self.mean))
            object.__setattr__(self, "std", _numbers("std", self.std))
            if not all(value > 0 for value in self.std):  # type: ignore[union-attr]
                raise ValueError(f"std must be above 0, not {self.std}")
            dtype = np.float32 if dtype is None else dtype
        if dtype is not None:
            dtype = np.dtype(dtype)
            if dtype.kind not in "fiu":
                raise ValueError(f"dtype must be an integer or a float, not {dtype}")
            if self.mean is not None and dtype.kind != "f":
                raise ValueError(f"with mean and std the dtype must be a float, not {dtype}")
            object.__setattr__(self, "dtype", dtype)

    def bound(self, stored: np.dtype[Any], channels: tuple[int, ...]) -> BoundLayout:
        """Return this layout for images of dtype `stored` with `channels`: (n,), or () for grey."""
        dtype = stored if self.dtype is None else np.dtype(self.dtype)
        if dtype.kind != "f" and not np.can_cast(stored, dtype):
            raise ValueError(f"pixels of {stored} do not fit into dtype {dtype}")
        count = channels[0] if channels else 1
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, count):  # type: ignore[arg-type]
                raise ValueError(
                    f"{name} has {len(values)} values, "  # type: ignore[arg-type]
                    f"but the images have {count} channels"
                )
        if self.mean is not None and max(self.mean) > 1 and stored.kind == "u":  # type: ignore[arg-type]
            raise ValueError(
                f"mean is {self.mean}, but is subtracted from pixels scaled to 0 to 1: divide mean"
                " and std by the largest value of a pixel, such as 255"
            )
        table = None
        if dtype.kind == "f" and stored == np.uint8:
            every = np.repeat(np.arange(256, dtype=np.uint8)[:, None], count, axis=1)
            table = np.ascontiguousarray(self._normalised(every, dtype).T)
        return BoundLayout(self, dtype, channels, table)

    def _normalised(self, pixels: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return `pixels` `(..., C)` as floats.

        They are computed in float32 or a more precise dtype, in torchvision's order of operations.
        """
        working = np.promote_types(dtype, np.float32)
        values = pixels.astype(working)
        if pixels.dtype in (np.uint8, np.uint16):
            values /= np.iinfo(pixels.dtype).max
        if self.mean is not None:
            values -= np.asarray(self.mean, working)
            values /= np.asarray(self.std, working)
        return values.astype(dtype, copy=False)


@dataclass(frozen=True)
class BoundLayout:
    """A layout for pixels of known dtype and channels.

    If `table` is not None, it is `(C, 256)` and holds the float of each byte.
    """

    layout: PixelLayout
    dtype: np.dtype[Any]
    channels: tuple[int, ...]
    table: npt.NDArray[Any] | None

    def in_bytes(self) -> BoundLayout | None:
        """Return the layout of bytes that `UnfinishedImages.finished` quickly turns into floats.

        None if this layout does not make float32 from bytes, or if there is no kernel for it.
        """
        if self.table is None or not self.is_of_bytes or usable_kernel() is None:
            return None
        return PixelLayout().bound(np.dtype(np.uint8), self.channels)

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of the array of one image."""
        if self.layout.channels_first:
            return (*self.channels, height, width)
        return (height, width, *self.channels)

    @cached_property
    def is_of_bytes(self) -> bool:
        """Whether the values are bytes, or 32-bit floats that `table` holds for bytes."""
        return self.dtype == np.uint8 or (self.table is not None and self.dtype == np.float32)

    def level(self, value: Any) -> Any:
        """Return the value that the byte `value` has in this layout, which must be `is_of_bytes`.

        `value` may also be a tuple of one byte for each channel.
        """
        if self.table is None:
            return value
        levels = self.table[np.arange(len(self.table)), value]
        return levels if self.channels else levels[0]

    def canvas(self, out: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return `out`, an array of `shape`, as (H, W, C) or (H, W)."""
        return out.transpose(1, 2, 0) if self.channels and self.layout.channels_first else out

    def write(self, image: Any, out: npt.NDArray[Any]) -> None:
        """Write the pixels of a Pillow image into `out`, an array of `shape`."""
        with stage("stack"):
            self.lay_out(np.asarray(image), self.canvas(out))

    def lay_out(self, pixels: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        """Write `pixels`, `(..., H, W, C)` or `(..., H, W)`, into `out`, in this layout."""
        if self.dtype.kind != "f":
            out[...] = pixels
            return
        if not self.channels:
            pixels, out = pixels[..., None], out[..., None]
        if self.table is None:
            out[...] = self.layout._normalised(pixels, self.dtype)
            return
        kernel = usable_kernel() if self.is_of_bytes else None
        if kernel is None or not kernel.look_up(pixels, self.table, out):
            for channel, values in enumerate(self.table):
                np.take(values, pixels[..., channel], out=out[..., channel], mode="clip")


class UnfinishedImages:
    """Images as bytes, `(n, H, W, C)` or `(n, H, W)`, and the `layout` that they will get.

    Workers send images in this form, because bytes take a quarter of the memory of floats.
    """

    def __init__(self, pixels: npt.NDArray[np.uint8], layout: BoundLayout) -> None:
        self.pixels = pixels
        self.layout = layout

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the finished images."""
        return len(self.pixels), *self.layout.shape(*self.pixels.shape[1:3])

    @property
    def nbytes(self) -> int:
        """The number of bytes in `pixels`."""
        return self.pixels.nbytes

    def finished(self, memory: ReusedMemory) -> npt.NDArray[Any]:
        """Return the images in their layout, in memory from `memory`."""
        out = memory.empty(self.shape, self.layout.dtype)
        is_moved = self.layout.channels and self.layout.layout.channels_first
        self.layout.lay_out(self.pixels, out.transpose(0, 2, 3, 1) if is_moved else out)
        return out


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    values = np.atleast_1d(np.asarray(value))
    if values.ndim != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ValueError(f"{name} must be a finite number, or one for each channel, not {value!r}")
    return tuple(values.astype(float).tolist())

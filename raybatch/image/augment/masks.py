"""Moves masks, which hold the class of each pixel, with their image, without interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.motion import Motion
from raybatch.image.view import Crop, Mirror, Scale, Size, Step
from raybatch.image.viewed import InMemory, Viewed

# Most data sets use this class for pixels that a loss should ignore.
IGNORED = 255


def of_mask(step: Step, fill: int) -> Step:
    """Return the step that moves a mask as `step` moves its image, by the nearest pixel.

    `fill` is the class outside the image.
    """
    if isinstance(step, Mirror):
        return step
    if isinstance(step, Crop):
        return step._replace(fill=fill)
    if isinstance(step, Scale):
        return step._replace(resample=Image.Resampling.NEAREST)
    return step._replace(resample=Image.Resampling.NEAREST, fill=fill)


def moved_mask(mask: Any, steps: Sequence[Step], before: Size, fill: int | None) -> Any:
    """Return `mask` after the `steps` of its image, which had the size `before`.

    A mask is a Pillow image of one channel, or an array (H, W) of integers, bools or float32, or
    (k, H, W) for the masks of k objects. The result is of the same kind. `fill` is the class
    outside the image. None is `IGNORED`, or 0 for masks of objects: bools and (k, H, W). TypeError
    or ValueError for another kind of mask or another size.
    """
    if isinstance(mask, Image.Image):
        if len(mask.getbands()) != 1:
            raise ValueError(f"a mask must be an image of one channel, not of mode {mask.mode}")
        _check_size(mask.size, before)
        fill = (0 if mask.mode == "1" else IGNORED) if fill is None else fill
        check_fill(fill, mask.mode)
        return _moved(mask, steps, fill).image()
    if not isinstance(mask, np.ndarray) or (mask.dtype.kind not in "biu" and mask.dtype != "f4"):
        kind = f"array of {mask.dtype}" if isinstance(mask, np.ndarray) else type(mask)
        raise TypeError(
            f"a mask must be a Pillow image or an array of integers, bools or float32, not {kind}"
        )
    if mask.ndim not in (2, 3):
        raise ValueError(f"a mask must have the shape (H, W) or (k, H, W), not {mask.shape}")
    if mask.shape == (before[1], before[0], 1) and before[0] > 1:
        raise ValueError(
            f"a mask must have the shape (H, W) or (k, H, W), not {mask.shape}: give mask[..., 0]"
        )
    _check_size(mask.shape[:-3:-1], before)
    if fill is None:
        fill = 0 if mask.ndim == 3 or mask.dtype == bool else IGNORED
    if mask.dtype.kind in "iu" and not _is_in(np.iinfo(mask.dtype), fill, fill):
        raise ValueError(f"a mask of {mask.dtype} cannot hold mask_fill={fill}")
    if mask.ndim == 2:
        return _moved_array(mask, steps, fill)
    moved = [_moved_array(plane, steps, fill) for plane in mask]
    width, height = Motion.of(before, steps).size
    return np.stack(moved) if moved else np.empty((0, height, width), mask.dtype)


def check_fill(fill: Any, mode: str) -> None:
    """Raise TypeError or ValueError unless `fill` is a class that Pillow's `mode` can hold."""
    if not isinstance(fill, (int, np.integer)):
        raise TypeError(f"mask_fill must be an integer, the number of a class, not {fill!r}")
    kinds = {"1": (0, 1), "I": (-(2**31), 2**31 - 1), "F": (-(2**24), 2**24)}
    low, high = (0, 2**16 - 1) if mode.startswith("I;16") else kinds.get(mode, (0, 255))
    if not low <= fill <= high:
        raise ValueError(
            f"a mask of mode {mode} cannot hold mask_fill={fill}: it must be from {low} to {high}"
        )


def _moved_array(mask: npt.NDArray[Any], steps: Sequence[Step], fill: int) -> npt.NDArray[Any]:
    if mask.dtype in (np.uint8, bool):
        return _moved(mask.view(np.uint8), steps, fill).array().view(mask.dtype)
    if mask.dtype == np.float32:
        return np.array(_moved(Image.fromarray(mask), steps, fill).image())
    if mask.size and not _is_in(np.iinfo(np.int32), mask.min(), mask.max()):
        raise ValueError("the values of a mask must fit into 32-bit integers")
    moved = _moved(Image.fromarray(mask.astype(np.int32)), steps, fill).image()
    return np.array(moved).astype(mask.dtype)


def _moved(mask: Any, steps: Sequence[Step], fill: int) -> Viewed:
    viewed = Viewed.all_of(InMemory(mask))
    for step in steps:
        viewed = viewed.then(of_mask(step, fill))
    return viewed


def _is_in(known: np.iinfo[Any], low: Any, high: Any) -> bool:
    return bool(known.min <= low and high <= known.max)


def _check_size(size: Size, of_image: Size) -> None:
    if tuple(size) != of_image:
        raise ValueError(
            f"a mask must have the size of its image: it has {size[1]} × {size[0]} pixels (height ×"
            f" width), but the image has {of_image[1]} × {of_image[0]}"
        )

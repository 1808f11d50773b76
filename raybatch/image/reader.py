"""An image file → a Pillow image of the mode and size that were asked for."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageMode, ImageOps

RESAMPLING = {resampling.name.lower(): resampling for resampling in Image.Resampling}
FITS = ("stretch", "crop", "pad")
DECODES = ("exact",)


@dataclass(frozen=True)
class ImageReader:
    """How to read an image: `read(path)` gives a Pillow image of `mode`, scaled to `size`.

    `size` is (height, width), or None for the size that is stored. `mode` is a Pillow mode, or None for the
    mode that is stored. `fit` says what happens to an image of another shape: "stretch" changes its aspect
    ratio, "crop" cuts the overhang evenly off both sides, "pad" adds black. `resample` is one of Pillow's
    filters or its name in lower case. `decode="exact"` decodes at full size, so that the pixels are those of
    `Image.open(path).convert(mode).resize((width, height), resample)`.
    """

    size: tuple[int, int] | None = None
    mode: str | None = "RGB"
    fit: str = "stretch"
    resample: str | int = "bilinear"
    decode: str = "exact"

    def __post_init__(self) -> None:
        if self.size is not None:
            object.__setattr__(self, "size", _check_size(self.size))
        if self.mode is not None and self.mode not in Image.MODES:
            raise ValueError(f"mode must be one of Pillow's modes {Image.MODES}, not {self.mode!r}")
        _check_choice("fit", self.fit, FITS)
        if isinstance(self.resample, int):
            object.__setattr__(self, "resample", Image.Resampling(self.resample).name.lower())
        _check_choice("resample", self.resample, tuple(RESAMPLING))
        _check_choice("decode", self.decode, DECODES)

    def read(self, path: str) -> Image.Image:
        """Return the image in `path`, fully loaded, the file closed; what Pillow raises passes through."""
        with open(path, "rb") as file, Image.open(file) as image:
            # Some formats know their mode only now.
            image.load()
            # `convert` to the mode that an image has already would copy all its pixels.
            if self.mode is None or image.mode == self.mode:
                return self._scaled(image)
            return self._scaled(image.convert(self.mode))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the pixels in `mode`; ValueError if the mode is None."""
        return np.dtype(ImageMode.getmode(self._known_mode()).typestr)

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """What follows (H, W) in the shape of an image: (3,) for RGB, () for L; ValueError if None."""
        bands = len(ImageMode.getmode(self._known_mode()).bands)
        return () if bands == 1 else (bands,)

    def _known_mode(self) -> str:
        if self.mode is None:
            raise ValueError("the mode of the pixels is known only when a mode is given")
        return self.mode

    def _scaled(self, image: Image.Image) -> Image.Image:
        if self.size is None:
            return image
        height, width = self.size
        resample = RESAMPLING[str(self.resample)]
        if self.fit == "crop":
            return ImageOps.fit(image, (width, height), resample)
        if self.fit == "pad":
            return ImageOps.pad(image, (width, height), resample)
        return image.resize((width, height), resample)


def _check_size(size: Any) -> tuple[int, int]:
    try:
        height, width = (operator.index(edge) for edge in size)
    except (TypeError, ValueError):
        raise TypeError(f"size must be (height, width), two integers, not {size!r}") from None
    if height < 1 or width < 1:
        raise ValueError(f"size must be (height, width) of 1 or more pixels, not {size!r}")
    return height, width


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")

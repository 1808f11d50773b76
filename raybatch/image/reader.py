"""An image file → a Pillow image of the mode and size that were asked for."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageColor, ImageMode, ImageOps, UnidentifiedImageError

from raybatch.checks import one_of
from raybatch.errors import ImageReadError
from raybatch.image.modes import Colour, converted, on_background
from raybatch.image.pixels import BoundLayout
from raybatch.image.resampling import RESAMPLING, filter_name
from raybatch.image.scaling import FITS, Extent, Scaling
from raybatch.stages import stage

Result = TypeVar("Result")

DECODES = ("exact", "scaled")

# Those that images come in. None of them starts a program to be decoded, as EPS does.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")

# Orientations in which an image lies on its side.
_TURNED = range(5, 9)


@dataclass(frozen=True)
class ImageReader:
    """How to read an image: `read(file)` gives a Pillow image of `mode`, scaled to `size`.

    `size` is (height, width), or None for the size that is stored. `mode` is a Pillow mode, or None for the
    mode that is stored; 16-bit images keep their values in "I;16" and "F". `fit` says what happens to an
    image of another shape: "stretch" changes its aspect ratio, "crop" cuts the overhang evenly off both
    sides, "pad" adds black. `resample` is one of Pillow's filters or its name in lower case.

    `decode="exact"` decodes at full size, so that the pixels are those of
    `Image.open(path).convert(mode).resize((width, height), resample)`. "scaled" lets the JPEG decoder shrink by
    2, 4 or 8, and other images be reduced by whole factors, as long as they stay `scale_margin` times larger
    than `size`; then it resamples. That is faster, the more so the larger the file.

    `exif_orientation` turns an image the way its EXIF data says. `background`, a colour name or (red, green,
    blue), is what shows through where an image is transparent; with None it is as Pillow converts it.
    `formats` are those that are opened, by Pillow's names; `max_pixels` is the most that an image may have,
    where Pillow's own limit allows more than its default.
    """

    size: tuple[int, int] | None = None
    mode: str | None = "RGB"
    fit: str = "stretch"
    resample: str | int = "bilinear"
    decode: str = "exact"
    scale_margin: float = 2.0
    exif_orientation: bool = False
    background: Colour | str | None = None
    formats: tuple[str, ...] = FORMATS
    max_pixels: int = 89_478_485  # that of Pillow

    def __post_init__(self) -> None:
        if self.size is not None:
            object.__setattr__(self, "size", _check_size(self.size))
        if self.mode is not None and self.mode not in Image.MODES:
            raise ValueError(f"mode must be one of Pillow's modes {Image.MODES}, not {self.mode!r}")
        one_of("fit", self.fit, FITS)
        object.__setattr__(self, "resample", filter_name("resample", self.resample))
        one_of("decode", self.decode, DECODES)
        if not self.scale_margin >= 1:
            raise ValueError(f"scale_margin must be 1 or more, not {self.scale_margin}")
        if self.background is not None:
            object.__setattr__(self, "background", _check_colour(self.background))
        object.__setattr__(self, "formats", _check_formats(self.formats))
        if not self.max_pixels > 0:
            raise ValueError(f"max_pixels must be above 0, not {self.max_pixels}")

    def read(self, file: IO[bytes]) -> Image.Image:
        """Return the image in `file`, fully loaded; ImageReadError with the cause if that cannot be done."""
        scaling = self._scaling

        def finish(image: Image.Image, extent: Extent) -> Image.Image:
            return image if scaling is None else scaling.scaled(image, extent)

        return self._decode(file, finish)

    def read_into(self, file: IO[bytes], layout: BoundLayout, out: npt.NDArray[Any]) -> None:
        """Write the pixels of `read(file)` into `out`, an array of `layout.shape`; errors as there.

        The reader has a size. There may be no Pillow image of that size, nor any copy of the pixels.
        """
        scaling = self._scaling
        if scaling is None:
            raise ValueError("images are read into an array only where the reader has a size")
        self._decode(file, lambda image, extent: scaling.scaled_into(image, extent, layout, out))

    def _decode(self, file: IO[bytes], finish: Callable[[Image.Image, Extent], Result]) -> Result:
        """Return `finish(image, extent)` for the image in `file` in its mode, `extent` as in `Scaling.draft`."""
        image = None
        try:
            with stage("decode"), Image.open(file, formats=self.formats) as image:
                return finish(*self._finished(image))
        except UnidentifiedImageError as error:
            # Its message has the address of the file object in it.
            reason = "UnidentifiedImageError: cannot identify image file"
            raise ImageReadError(None, reason) from error
        except Exception as error:
            raise ImageReadError(
                None if image is None else image.format, f"{type(error).__name__}: {error}"
            ) from error

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

    @cached_property
    def _scaling(self) -> Scaling | None:
        if self.size is None:
            return None
        height, width = self.size
        margin = self.scale_margin if self.decode == "scaled" else None
        return Scaling(width, height, self.fit, RESAMPLING[str(self.resample)], margin)

    def _finished(self, image: Image.Image) -> tuple[Image.Image, Extent]:
        """Return `image`, whose header has been read, in its mode and loaded, and its extent."""
        pixels = image.width * image.height
        if pixels > self.max_pixels:
            raise ValueError(f"{pixels} pixels are more than max_pixels={self.max_pixels}")
        orientation = orientation_of(image) if self.exif_orientation else 1
        scaling = self._scaling
        extent = Extent(*image.size)
        if scaling is not None:
            extent = scaling.draft(image, is_turned=orientation in _TURNED)
        # Some formats know their mode only now.
        image.load()
        if orientation != 1:
            image = ImageOps.exif_transpose(image)
            extent = extent._replace(width=image.width, height=image.height)
        if self.background is not None:
            image = on_background(image, self.background)  # type: ignore[arg-type]
        if self.mode is not None:
            image = converted(image, self.mode)
        return image, extent


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of `image`, from 1 to 8; 1 if it has none that makes sense."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def _check_size(size: Any) -> tuple[int, int]:
    try:
        height, width = (operator.index(edge) for edge in size)
    except (TypeError, ValueError):
        raise TypeError(f"size must be (height, width), two integers, not {size!r}") from None
    if height < 1 or width < 1:
        raise ValueError(f"size must be (height, width) of 1 or more pixels, not {size!r}")
    return height, width


def _check_colour(colour: Any) -> Colour:
    if isinstance(colour, str):
        return ImageColor.getrgb(colour)[:3]
    try:
        red, green, blue = (operator.index(value) for value in colour)
    except (TypeError, ValueError):
        raise TypeError(f"background must be a colour name or (r, g, b), not {colour!r}") from None
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"the values of background must be from 0 to 255, not {colour!r}")
    return red, green, blue


def _check_formats(formats: Any) -> tuple[str, ...]:
    if isinstance(formats, str):
        raise TypeError(f"formats must be a sequence of names, not the one name {formats!r}")
    names = tuple(name.upper() for name in formats)
    Image.preinit()
    if not all(name in Image.OPEN for name in names):
        Image.init()
    # A Pillow that was built without a decoder opens the others.
    known = tuple(name for name in names if name in Image.OPEN or name in FORMATS)
    if unknown := set(names) - set(known):
        raise ValueError(f"Pillow knows no format {sorted(unknown)}; it has {sorted(Image.OPEN)}")
    if not names:
        raise ValueError("formats must hold at least one name")
    return tuple(name for name in names if name in Image.OPEN) or names

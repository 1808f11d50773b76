"""An image file → a Pillow image of the mode and size that were asked for."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageColor, ImageMode, ImageOps, UnidentifiedImageError

from raybatch.checks import height_and_width, one_of
from raybatch.errors import ImageReadError
from raybatch.image.pixels import BoundLayout
from raybatch.image.scaling import FITS, RESAMPLING, Extent, Scaling, filter_name
from raybatch.stages import stage

DECODES = ("exact", "scaled")

# Those that images come in. None of them starts a program to be decoded, as EPS does.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")

# Where Pillow has no direct way from one mode to another, it has one by these.
_DETOURS = ((), ("LA",), ("RGB",), ("L",), ("RGB", "L"))

Colour = tuple[int, int, int]

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
            object.__setattr__(self, "size", height_and_width("size", self.size))
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
        with self._decoded(file) as (image, extent):
            return image if self._scaling is None else self._scaling.scaled(image, extent)

    def read_into(self, file: IO[bytes], layout: BoundLayout, out: npt.NDArray[Any]) -> None:
        """Write the pixels of `read(file)` into `out`, an array of `layout.shape`; errors as there.

        The reader has a size. There may be no Pillow image of that size, nor any copy of the pixels.
        """
        if self._scaling is None:
            raise ValueError("images are read into an array only where the reader has a size")
        with self._decoded(file) as (image, extent):
            self._scaling.scaled_into(image, extent, layout, out)

    @contextmanager
    def _decoded(self, file: IO[bytes]) -> Iterator[tuple[Image.Image, Extent]]:
        """Give the image in `file` in its mode, and its extent as in `Scaling.draft`; an error inside is an ImageReadError."""
        image = None
        try:
            with stage("decode"), Image.open(file, formats=self.formats) as image:
                yield self._finished(image)
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


def converted(image: Image.Image, mode: str) -> Image.Image:
    """Return `image` in `mode`, as Pillow converts it: `image` itself if it has the mode.

    ValueError if there is no way to it.
    """
    # `convert` to the mode that an image has already would copy all its pixels.
    if image.mode == mode:
        return image
    for detour in _DETOURS:
        try:
            changed = image
            for step in (*detour, mode):
                changed = changed.convert(step)
            return changed
        except ValueError:
            continue
    raise ValueError(f"an image of mode {image.mode} cannot be converted to {mode}")


def on_background(image: Image.Image, colour: Colour) -> Image.Image:
    """Return `image` laid on a background of `colour` (red, green, blue), in RGB; itself if it is opaque."""
    if not image.has_transparency_data:
        return image
    laid = Image.new("RGBA", image.size, (*colour, 255))
    laid.alpha_composite(converted(image, "RGBA"))
    return laid.convert("RGB")

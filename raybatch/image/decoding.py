"""Decodes an image, or only the part of it that a view needs."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from raybatch.errors import ImageReadError
from raybatch.image.jpeg import SCALES, decode_part, is_usable
from raybatch.image.jpeg_header import MAGIC, JpegHeader, header
from raybatch.image.loss import is_deep, tell_loss, tell_luminance
from raybatch.image.resampling import Part, Pixels, as_image, can_write, reduced
from raybatch.image.truncation import truncated_as
from raybatch.image.view import Size, View, needed_part

# Pillow cannot convert between some modes directly, but can by way of these.
_DETOURS = ((), ("LA",), ("RGB",), ("L",), ("RGB", "L"))

Colour = tuple[int, int, int]

# The EXIF orientations of images that lie on their side. For each orientation, the slices that put
# the stored rows and columns in order.
_TURNED = range(5, 9)
_ROWS = {
    orientation: slice(None, None, -1 if orientation in (3, 4, 6, 7) else 1)
    for orientation in range(1, 9)
}
_COLUMNS = {
    orientation: slice(None, None, -1 if orientation in (2, 3, 7, 8) else 1)
    for orientation in range(1, 9)
}


@dataclass(frozen=True)
class Decoding:
    """How an image is decoded. The settings of `ImageReader` have the same meaning here.

    Args:
        mode: A Pillow mode, or None for the stored mode.
        background: (red, green, blue), or None.
        is_turned: Whether to turn the image upright as its EXIF data says.
        margin: The decoder may shrink the image, as long as the part that is taken stays this many
            times larger than its result. With None, it never shrinks it.
        formats: Pillow's names of formats.
        max_pixels: The most pixels that an image may have.
        truncated: "error", "fill" or None.
        is_mask: Whether the pixels are classes.
    """

    mode: str | None
    background: Colour | None
    is_turned: bool
    margin: float | None
    formats: tuple[str, ...]
    max_pixels: int
    truncated: str | None
    is_mask: bool = False

    def opened(self, file: IO[bytes]) -> Image.Image:
        """Return the image that Pillow opens; UnidentifiedImageError if the format is not accepted.

        This is `Image.open` without Pillow's limit on pixels. That limit applies to everything that
        the program reads, and may be below `max_pixels`.
        """
        file.seek(0)
        prefix = file.read(16)
        if not all(name in Image.OPEN for name in self.formats):
            Image.init()
        refused = []
        for name in self.formats:
            if name not in Image.OPEN:
                continue  # Pillow was built without that decoder
            factory, accept = Image.OPEN[name]
            is_accepted = accept is None or accept(prefix)
            if isinstance(is_accepted, str):
                refused.append(is_accepted)
            elif is_accepted:
                file.seek(0)
                # A plug-in raises one of these errors for a file that is not in its format.
                with (
                    suppress(SyntaxError, IndexError, TypeError, struct.error),
                    truncated_as(self.truncated),
                ):
                    return factory(file, "")
        for reason in refused:
            warnings.warn(reason, stacklevel=2)
        raise UnidentifiedImageError("cannot identify image file")

    def finished(self, image: Image.Image) -> Image.Image:
        """Return a decoded image in its final mode, laid on the background if there is one."""
        if self.is_mask:
            image = classes(image)
        if self.mode is not None and image.mode != self.mode and is_deep(image.mode):
            if self.is_mask and not is_deep(self.mode):
                _check_classes(image, self.mode)
            tell_loss(image, self.mode)
        if self.background is not None:
            image = on_background(image, self.background)
        if self.mode is None:
            return image
        made = converted(image, self.mode)
        if image.mode == "P":
            tell_luminance(image, made)
        return made


@contextmanager
def opened(file: IO[bytes], how: Decoding, *, as_array: bool) -> Iterator[Encoded | EncodedJpeg]:
    """Yield the image in `file`; its pixels are not decoded yet.

    An error in the block becomes an ImageReadError, with that error as its cause. With `as_array`
    the pixels may be an array, which has no metadata.
    """
    kind = None
    try:
        jpeg = _opened_jpeg(file, how) if as_array else None
        if jpeg is not None:
            kind = "JPEG"
            _check_pixels(jpeg.size, how.max_pixels)
            yield jpeg
            return
        with how.opened(file) as image:
            kind = image.format
            _check_pixels(image.size, how.max_pixels)
            yield Encoded(image, how)
    except Exception as error:
        raise read_error(kind, error) from error


def read_error(kind: str | None, error: Exception) -> ImageReadError:
    """Return the ImageReadError for `error`. `kind` is the image format, or None if unknown."""
    if isinstance(error, UnidentifiedImageError):
        # Pillow's message contains the address of the file object.
        return ImageReadError(None, "UnidentifiedImageError: cannot identify image file")
    return ImageReadError(kind, f"{type(error).__name__}: {error}")


def _opened_jpeg(file: IO[bytes], how: Decoding) -> EncodedJpeg | None:
    """Return the image in `file` for the second decoder, which is faster than Pillow.

    None if Pillow must decode it; the position in `file` is then unchanged.
    """
    if "JPEG" not in how.formats or not is_usable():
        return None
    # Bytes that are already in memory are not copied.
    start = file.getvalue() if isinstance(file, io.BytesIO) else file.read(len(MAGIC))
    if start.startswith(MAGIC):
        data = start if isinstance(file, io.BytesIO) else start + file.read()
        found = header(data)
        if found is not None:
            return EncodedJpeg(data, found, how)
    file.seek(0)
    return None


def _check_pixels(size: Size, max_pixels: int) -> None:
    pixels = size[0] * size[1]
    if pixels > max_pixels:
        raise ValueError(f"{pixels} pixels are more than max_pixels={max_pixels}")


class Encoded:
    """An image whose header Pillow has read.

    `size` is the width and height of the upright image.
    """

    def __init__(self, opened: Image.Image, how: Decoding) -> None:
        self._opened = opened
        self._how = how
        self._orientation = orientation_of(opened) if how.is_turned else 1
        self.size: Size = _as_seen(opened.size, self._orientation)

    def pixels(self, view: View) -> tuple[Pixels, View]:
        """Return the decoded image, and the view of it."""
        image, margin = self._opened, self._how.margin
        wanted = None if margin is None else view.wanted_size(margin)
        shrunk = None if wanted is None else image.draft(None, _as_seen(wanted, self._orientation))
        # Some formats know their mode only after decoding.
        with truncated_as(self._how.truncated):
            image.load()
        if self._orientation != 1:
            image = ImageOps.exif_transpose(image)
        image = self._how.finished(image)
        if shrunk is not None:
            extent = _as_seen(shrunk[1][2:], self._orientation)
            return image, view.of_shrunk(image.size, extent)
        return (image, view) if margin is None else reduced(image, view, margin)


class EncodedJpeg:
    """The JPEG file `data` with its `header`, for the second decoder.

    Pillow decodes whatever the second decoder cannot.
    """

    def __init__(self, data: bytes, header: JpegHeader, how: Decoding) -> None:
        self._data = data
        self._header = header
        self._how = how
        self._orientation = orientation_of(header) if how.is_turned else 1
        self.size: Size = _as_seen((header.width, header.height), self._orientation)

    @property
    def nbytes(self) -> int:
        """The size of the file in bytes."""
        return len(self._data)

    def pixels(self, view: View) -> tuple[Pixels, View]:
        """Return the decoded image, and the view of it.

        An array is valid until this thread decodes another image.
        """
        header, scale, stored_view = self._header, 1, view
        if self._how.margin is not None and (wanted := view.wanted_size(self._how.margin)):
            width, height = _as_seen(wanted, self._orientation)
            # Pillow's `draft` chooses the scale in this way.
            most = min(header.width // width, header.height // height)
            scale = next((scale for scale in reversed(SCALES) if scale <= most), 1)
        size = -(-header.width // scale), -(-header.height // scale)
        extent = header.width / scale, header.height / scale
        orientation = self._orientation
        view = view.of_shrunk(_as_seen(size, orientation), _as_seen(extent, orientation))
        is_as_stored = self._how.mode in (header.mode, None) and orientation == 1
        everything = 0, 0, *size
        is_part = is_as_stored and not view.is_all and can_write(header.mode, view)
        needed = needed_part(view) if is_part else everything
        decoded = decode_part(self._data, header, scale, needed)
        if decoded is None:
            with self._how.opened(io.BytesIO(self._data)) as opened:
                return Encoded(opened, self._how).pixels(stored_view)
        pixels, left, top = decoded
        if header.mode == "L":
            # A Pillow image would share the memory of a grey array, and could outlive that memory's
            # content.
            pixels = pixels.copy()
        if is_part:
            return Part(pixels, left, top, size), view
        turned = _turned(pixels, orientation)
        return turned if is_as_stored else self._how.finished(as_image(turned)), view


def _as_seen(size: Any, orientation: int) -> Any:
    """Return the size of the upright image: swapped if the stored image lies on its side."""
    return (size[1], size[0]) if orientation in _TURNED else tuple(size)


def _turned(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Return an image with one or four bytes a pixel, turned upright from its EXIF orientation."""
    if orientation == 1:
        return pixels
    units: Any = pixels if pixels.ndim == 2 else pixels.view(np.uint32)[..., 0]
    units = units[_ROWS[orientation], _COLUMNS[orientation]]
    units = np.ascontiguousarray(units.T if orientation in _TURNED else units)
    turned: npt.NDArray[np.uint8] = units if pixels.ndim == 2 else units[..., None].view(np.uint8)
    return turned


def orientation_of(image: Image.Image | JpegHeader) -> int:
    """Return the EXIF orientation of `image`, from 1 to 8; 1 if the image has no valid one."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def classes(image: Image.Image) -> Image.Image:
    """Return a mask as an image of one channel, with the class of each pixel.

    The classes of a palette image are its indices, and those of a black and white image are 0 and
    1. An RGB image that is all grey has its classes in each channel. ValueError for other colours.
    """
    if image.mode == "P":
        return Image.fromarray(np.asarray(image))
    if image.mode == "1":
        return Image.fromarray(np.asarray(image).astype(np.uint8))
    if image.mode == "LA":
        return image.getchannel("L")
    if image.mode in ("RGB", "RGBA"):
        red, green, blue = image.split()[:3]
        if red == green == blue:
            return red
    if len(image.getbands()) > 1:
        raise ValueError(
            "mask=True needs an image of one channel, with the class of each pixel, not colours"
            f" (mode {image.mode})"
        )
    return image


def _check_classes(mask: Image.Image, mode: str) -> None:
    """Raise ValueError if `mode` would clip classes of `mask`.

    Pillow would turn those above 255 into 255, which many losses ignore, and those below 0 into 0.
    """
    low, high = np.asarray(mask).min(), np.asarray(mask).max()
    if low < 0 or high > 255:
        own = "I;16" if mask.mode.startswith("I;16") else mask.mode
        raise ValueError(
            f"the mask has classes from {low} to {high}, but mode={mode!r} holds only 0 to 255:"
            f" give the accessor mode={own!r}"
        )


def converted(image: Image.Image, mode: str) -> Image.Image:
    """Return `image` in `mode`, as Pillow converts it; `image` itself if it has that mode.

    ValueError if Pillow has no conversion.
    """
    # `convert` to the mode of the image itself would copy all its pixels.
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
    """Return `image` laid on a background of `colour` (red, green, blue), in RGB.

    An opaque image is returned as it is.
    """
    if not image.has_transparency_data:
        return image
    laid = Image.new("RGBA", image.size, (*colour, 255))
    laid.alpha_composite(converted(image, "RGBA"))
    return laid.convert("RGB")

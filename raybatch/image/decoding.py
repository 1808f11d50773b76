"""An encoded image → its pixels, as much of it as a view needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import ExifTags, Image, ImageOps

from raybatch.image.resampling import Pixels, reduced
from raybatch.image.view import Size, View

# Where Pillow has no direct way from one mode to another, it has one by these.
_DETOURS = ((), ("LA",), ("RGB",), ("L",), ("RGB", "L"))

Colour = tuple[int, int, int]

# Orientations in which an image lies on its side.
_TURNED = range(5, 9)


class Encoded:
    """The image in `opened`, whose header Pillow has read.

    With `is_turned` it is seen the way that its EXIF data says, and `size` is that. With `margin` its decoder may make it
    smaller, as long as what is taken of it stays so many times larger than the result. `finished` returns what the settings of
    a reader make of the decoded image.
    """

    def __init__(
        self,
        opened: Image.Image,
        is_turned: bool,
        margin: float | None,
        finished: Callable[[Image.Image], Image.Image],
    ) -> None:
        self._opened = opened
        self._orientation = orientation_of(opened) if is_turned else 1
        self._margin = margin
        self._finished = finished
        self.size: Size = self._as_seen(opened.size)

    def pixels(self, view: View) -> tuple[Pixels, View]:
        """Return the image, decoded, and the view of it."""
        image = self._opened
        wanted = None if self._margin is None else view.wanted_size(self._margin)
        shrunk = None if wanted is None else image.draft(None, self._as_seen(wanted))
        # Some formats know their mode only now.
        image.load()
        if self._orientation != 1:
            image = ImageOps.exif_transpose(image)
        image = self._finished(image)
        if shrunk is not None:
            return image, view.of_shrunk(image.size, self._as_seen(shrunk[1][2:]))
        return (image, view) if self._margin is None else reduced(image, view, self._margin)

    def _as_seen(self, size: Any) -> Any:
        """Return a width and a height, exchanged if the image lies on its side."""
        return (size[1], size[0]) if self._orientation in _TURNED else tuple(size)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of `image`, from 1 to 8; 1 if it has none that makes sense."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


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

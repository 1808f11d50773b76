"""An image of any of Pillow's modes → the mode that was asked for."""

from __future__ import annotations

from PIL import Image

# Where Pillow has no direct way from one mode to another, it has one by these.
_DETOURS = ((), ("LA",), ("RGB",), ("L",), ("RGB", "L"))

Colour = tuple[int, int, int]


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

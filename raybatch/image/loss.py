"""Reports conversions that lose information. Pillow itself does not report them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageMode

from raybatch.notices import is_told, subject, tell


def is_deep(mode: str) -> bool:
    """Return whether pixels of `mode` have more than 8 bits: 16 or 32 bits, or floats."""
    return mode[0] in "IF"


def tell_luminance(stored: Image.Image, made: Image.Image) -> None:
    """Report the first palette image, `stored`, whose pixels became luminance in `made`."""
    key = "palette as luminance"
    if len(made.getbands()) > 1 or is_told(key):
        return
    if (np.asarray(stored) != np.asarray(made)).any():
        tell(
            f"{_subject()} has a palette, and mode={made.mode!r} gives the luminance of its"
            " colours. If it is a mask whose values are classes, read it with mask=True. (Reported"
            " for the first such image only.)",
            key,
        )


def tell_loss(stored: Image.Image, mode: str) -> None:
    """Report that values of `stored` change in the conversion to `mode`.

    Only the first image with the same two modes is reported. Pillow clips values at the ends of the
    range, which turns most 16-bit images white, and drops fractions.
    """
    key = f"{stored.mode} as {mode}"
    kept = np.dtype(ImageMode.getmode(mode).typestr)
    if kept.kind == "f" or is_told(key):
        return
    values = np.asarray(stored)
    least, most = (0, 255) if kept.kind == "b" else (np.iinfo(kept).min, np.iinfo(kept).max)
    low, high = values.min(), values.max()
    has_fractions = values.dtype.kind == "f" and bool((values != np.rint(values)).any())
    if low < least or high > most or has_fractions:
        own = "I;16" if stored.mode.startswith("I;16") else stored.mode
        tell(
            f"{_subject()} has values from {low} to {high}, but mode={mode!r} has only whole"
            f" numbers from {least} to {most}: values outside are clipped, and fractions are"
            f" dropped. mode={own!r} keeps them. (Reported for the first such image only.)",
            key,
        )


def _subject() -> str:
    return repr(subject()) if subject() else "an image"

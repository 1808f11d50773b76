"""Draws the mask and the boxes of an image into the image, in the colours of their classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from raybatch.image.contact_sheet import shown

# The width of the line around a box, relative to the longer side of the image.
_LINE = 1 / 128


def overlay(image: Any, mask: Any = None, boxes: Any = None, labels: Any = None) -> Image.Image:
    """Return `image` in RGB with its mask and boxes drawn in.

    `image` and `mask` are Pillow images or arrays. A mask (H, W) holds the class of each pixel.
    Class 0 is not drawn; the others have PASCAL VOC's colours, half transparent. `boxes` are (k,
    4): left, top, right and bottom, in pixels. `labels` are their classes, (k,); without labels,
    all boxes have one colour.
    """
    picture = shown(image)
    if mask is not None:
        classes = np.asarray(mask)
        coloured = Image.blend(picture, Image.fromarray(_colours(classes)), 0.5)
        picture.paste(coloured, mask=Image.fromarray(np.uint8(255) * (classes > 0)))
    if boxes is not None:
        draw, width = ImageDraw.Draw(picture), 1 + round(max(picture.size) * _LINE)
        colours = _colours(np.ones(len(boxes), np.int64) if labels is None else np.asarray(labels))
        for box, colour in zip(np.asarray(boxes).tolist(), colours.tolist(), strict=True):
            left, top, right, bottom = box  # the last pixel of a box is the one before its end
            corners = left, top, max(left, right - 1), max(top, bottom - 1)
            draw.rectangle(corners, outline=tuple(colour), width=width)
    return picture


def _colours(classes: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the colour of each class, uint8 `(..., 3)`.

    Class 0 is black. The other classes share 255 colours in turn.
    """
    classes = classes.astype(np.int64)
    numbers = np.where(classes > 0, (classes - 1) % 255 + 1, 0)
    palette = np.zeros((256, 3), np.uint8)
    # As in VOC, the lowest bits of the class become the highest bits of red, green and blue.
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (
                (np.arange(256) >> (3 * bit + channel) & 1) << (7 - bit)
            ).astype(np.uint8)
    return palette[numbers]

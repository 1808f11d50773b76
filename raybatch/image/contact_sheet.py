"""A contact sheet: many images on one, with captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from raybatch.image.loss import is_deep

_MARGIN = 6
_CAPTION = 16


def contact_sheet(
    images: npt.NDArray[Any] | Sequence[Any],
    labels: Sequence[Any],
    columns: int | None = None,
    largest_edge: int | None = None,
) -> Image.Image:
    """Return one image that shows `images` in rows, each above its label.

    The first line of a label is shown whole; longer lines below it are cut.

    `images` is a batch: an array `(n, H, W)`, `(n, H, W, C)` or `(n, C, H, W)`, or a sequence of
    such images or of Pillow images, which may differ in size. If pixels are not 8-bit integers, the
    lowest value of the image is shown black and the highest white. Images with an edge longer than
    `largest_edge` pixels are shown smaller. By default the sheet has about as many columns as rows.
    ValueError unless there is one label for each image.
    """
    if len(images) != len(labels):
        raise ValueError(
            f"a contact sheet needs a label for each image, not {len(labels)} labels for"
            f" {len(images)} images"
        )
    cells = [shown(image, largest_edge) for image in images]
    columns = columns or max(1, math.ceil(math.sqrt(len(cells))))
    rows = math.ceil(len(cells) / columns)
    captions = [str(label).split("\n") for label in labels]
    font = ImageFont.load_default()
    widths = [
        max(image.width, math.ceil(font.getlength(lines[0])))
        for image, lines in zip(cells, captions, strict=True)
    ]
    caption_height = _CAPTION * max(map(len, captions), default=1)
    cell_width = max(widths, default=0) + _MARGIN
    cell_height = max((image.height for image in cells), default=0) + caption_height + _MARGIN
    sheet = Image.new(
        "RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), "white"
    )
    for position, (image, lines) in enumerate(zip(cells, captions, strict=True)):
        row, column = divmod(position, columns)
        left, top = _MARGIN + column * cell_width, _MARGIN + row * cell_height
        sheet.paste(image, (left, top))
        caption = Image.new("RGB", (cell_width - _MARGIN, caption_height), "white")
        for number, line in enumerate(lines):
            ImageDraw.Draw(caption).text((0, 1 + number * _CAPTION), line, fill="black", font=font)
        sheet.paste(caption, (left, top + image.height))
    return sheet


def shown(image: Any, largest_edge: int | None = None) -> Image.Image:
    """Return an image, of any kind that `contact_sheet` takes, as a Pillow image in RGB.

    It is made smaller if an edge is longer than `largest_edge` pixels.
    """
    if not isinstance(image, Image.Image) or is_deep(image.mode):
        image = Image.fromarray(_pixels(np.asarray(image)))
    # Transparent pixels show white, like the sheet.
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A") if "A" in image.getbands() else None)
    if largest_edge is not None:
        page.thumbnail((largest_edge, largest_edge))
    return page


def _pixels(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return an image as uint8 `(H, W)`, `(H, W, 3)` or `(H, W, 4)`, which Pillow takes."""
    if image.ndim == 3 and image.shape[-1] not in (1, 3, 4) and image.shape[0] in (1, 3, 4):
        image = np.moveaxis(image, 0, -1)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.dtype != np.uint8:
        image = image.astype(np.float64)
        low, high = np.nanmin(image), np.nanmax(image)
        image = (np.nan_to_num(image, nan=low) - low) * (255 / max(high - low, 1e-12))
    return np.ascontiguousarray(image, np.uint8)

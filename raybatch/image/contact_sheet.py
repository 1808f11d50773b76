"""Many images on one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

_MARGIN = 6
_CAPTION = 16


def contact_sheet(
    images: npt.NDArray[np.uint8], labels: Sequence[Any], columns: int | None = None
) -> Image.Image:
    """Return one image that shows `images`, uint8 `(n, H, W, 3)`, in rows, each above its label."""
    count, height, width = images.shape[:3]
    columns = columns or max(1, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    cell_width, cell_height = width + _MARGIN, height + _CAPTION + _MARGIN
    sheet = Image.new(
        "RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for position, (image, label) in enumerate(zip(images, labels, strict=True)):
        row, column = divmod(position, columns)
        left, top = _MARGIN + column * cell_width, _MARGIN + row * cell_height
        sheet.paste(Image.fromarray(image), (left, top))
        draw.text((left, top + height + 1), str(label), fill="black")
    return sheet

"""Tells of files that look like masks of classes, but are read as photographs."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.accessors.images import EncodedImages
from raybatch.image.reader import ImageReader
from raybatch.notices import tell
from raybatch.sources.array import ArrayDataSource
from raybatch.sources.fields import field_name
from raybatch.sources.source import DataSource, nodes, rows_at

_NAME = re.compile(
    r"mask|segm|annotation|ground.?truth|(?:^|[\W_\d])(?:gt|labels?)(?:$|[\W_\d])", re.IGNORECASE
)
# An image with more distinct values is a photograph. If a class is above `_LAST_CLASS`, only a name
# shows that the image is a mask.
_MOST_CLASSES, _LAST_CLASS, _SHOWN = 64, 63, 8


def tell_unmarked_masks(source: DataSource) -> None:
    """Tell of images in `source` that lack `mask=True`, although the first looks like a mask.

    A mask has few values, in one channel or as a palette. It is known by the name of its field,
    folder or file, or by low values beside a field of images. A mode that was given is respected.
    """
    for node in nodes(source):
        if isinstance(node, ArrayDataSource):
            rows = rows_at(node, 0)
            if rows is not None:
                _tell_of(node, int(rows.indices[0]))


def _tell_of(source: ArrayDataSource, position: int) -> None:
    files = {key: one for key, one in source.fields().items() if isinstance(one, EncodedImages)}
    for key, images in files.items():
        reader = images.reader_at(position)
        if reader.mask or reader.mode_was_given:
            continue
        path = PurePath(images.name_of(position))
        is_named = any(_NAME.search(name) for name in (str(key), path.stem, path.parent.name))
        if not is_named and len(files) == 1:
            continue
        stored = _stored(reader, images.encoded(position))
        values = np.unique(np.asarray(stored))
        if len(stored.getbands()) > 1 or not 1 < len(values) <= _MOST_CLASSES:
            continue
        if is_named or _are_low(values):
            tell(
                f"{images.name_of(position)!r} of {field_name(key)} looks like a mask: its pixels"
                f" have the values {_shown(values)}. It is read as {reader.mode} pixels, which mix"
                " when they are scaled. Give mask=True to read classes (n, H, W), or"
                f" mode={reader.mode!r} if these are images"
            )


def _stored(reader: ImageReader, data: bytes) -> Image.Image:
    as_stored = dataclasses.replace(reader, size=None, mode=None, transform=None, background=None)
    return as_stored.read(io.BytesIO(data))


def _are_low(values: npt.NDArray[Any]) -> bool:
    classes = values[values != np.uint8(255)]
    return bool(classes.max() <= _LAST_CLASS)


def _shown(values: npt.NDArray[Any]) -> str:
    shown = [str(int(value)) for value in values[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(values) > _SHOWN else "")

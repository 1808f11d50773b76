"""Facts about image files, to inspect a data set before training."""

from __future__ import annotations

import hashlib
from typing import IO, Any

import numpy as np
from PIL import Image, ImageMode

from raybatch.accessors.images import EncodedImages
from raybatch.accessors.reading import sample_positions
from raybatch.image.decoding import converted, orientation_of
from raybatch.image.reader import ImageReader

FACTS = np.dtype(
    [
        ("file_bytes", np.int64),
        ("digest", "V16"),
        ("format", "S12"),
        ("mode", "S8"),
        ("height", np.int32),
        ("width", np.int32),
        ("orientation", np.int8),
        ("mean", np.float64, (3,)),
        ("square", np.float64, (3,)),
    ]
)

_LEVELS = np.arange(256) / 255
_CHUNK_BYTES = 2**20


class ImageFacts(EncodedImages):
    """Facts about the stored images of the accessor `images`, as an array of dtype `FACTS`.

    An int gives one record; an index array gives an array `(n,)` of them. `digest` is the BLAKE2b
    of the file's bytes, so equal files have equal digests. `format`, `mode`, `height`, `width` and
    the EXIF `orientation` describe the image as it is stored. `mean` and `square` are the means of
    the red, green and blue pixel values, from 0 to 1, and of their squares. They are NaN for images
    of more than 8 bits, whose range is not known. Each image is decoded in full, so one that cannot
    be decoded raises `SampleReadError`, as in `images`.
    """

    def __init__(self, images: EncodedImages) -> None:
        super().__init__(ImageReader(mode=None), images._store, images._openers)

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        rows = [positions] if isinstance(positions, int) else positions.tolist()
        facts = self._read(rows, [self._facts_of] * len(rows))
        return facts[0] if isinstance(positions, int) else np.array(facts, FACTS)

    def _facts_of(self, file: IO[bytes]) -> Any:
        digest = hashlib.blake2b(digest_size=16)
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
        file_bytes = file.tell()
        file.seek(0)
        image = self._reader.read(file)
        fact = np.empty((), FACTS)
        fact["file_bytes"], fact["digest"] = file_bytes, np.void(digest.digest())
        fact["format"], fact["mode"] = image.format, image.mode
        fact["height"], fact["width"] = image.height, image.width
        fact["orientation"] = orientation_of(image)
        fact["mean"], fact["square"] = _moments(image)
        return fact[()]


def _moments(image: Image.Image) -> tuple[Any, Any]:
    """Return the means of red, green and blue, and the means of their squares."""
    if np.dtype(ImageMode.getmode(image.mode).typestr).itemsize > 1:
        return np.nan, np.nan
    counts = np.reshape(converted(image, "RGB").histogram(), (3, 256)) / (
        image.width * image.height
    )
    return counts @ _LEVELS, counts @ _LEVELS**2

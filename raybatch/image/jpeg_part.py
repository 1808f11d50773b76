"""Decodes parts of JPEGs with the libjpeg that Pillow has loaded, through `jpeg_part.c`.

The C code runs without the GIL.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.kernel import library_path
from raybatch.image.view import Rectangle

Pixels = npt.NDArray[np.uint8]

# The size of jpeg_decompress_struct in libjpeg's interface 6b on 64-bit machines; the library
# refuses any other.
_STRUCT_BYTES = 632
_FUNCTIONS = (
    "std_error",
    "CreateDecompress",
    "mem_src",
    "read_header",
    "start_decompress",
    "crop_scanline",
    "skip_scanlines",
    "read_scanlines",
    "finish_decompress",
    "destroy_decompress",
)
_UNSIGNED, _NUMBER, _ADDRESS = ctypes.c_uint, ctypes.c_int64, ctypes.c_void_p


class PartDecoder:
    """Decodes parts of JPEGs.

    Raises ImportError or OSError if the compiled code or Pillow's libjpeg cannot be loaded.
    """

    def __init__(self) -> None:
        self._decode = ctypes.CDLL(library_path()).decode_jpeg_part
        about_file = _ADDRESS, _NUMBER, ctypes.c_char_p, _NUMBER, ctypes.c_int, ctypes.c_int
        about_part = _ADDRESS, _UNSIGNED, _ADDRESS, _UNSIGNED, _ADDRESS
        self._decode.argtypes = (*about_file, *about_part)
        self._library = ctypes.CDLL(_path_of_pillows_library())
        try:
            functions = [getattr(self._library, f"jpeg_{name}") for name in _FUNCTIONS]
        except AttributeError as error:
            raise ImportError(f"Pillow's JPEG library lacks a function: {error}") from error
        addresses = [ctypes.cast(function, _ADDRESS).value for function in functions]
        self._functions = (_ADDRESS * len(_FUNCTIONS))(*addresses)

    def decode(
        self,
        data: bytes,
        scale: int,
        channels: int,
        part: Rectangle,
        memory: Callable[[int], Pixels],
    ) -> tuple[Pixels, int] | None:
        """Return the pixels of `part`, perhaps with more columns, and their first column.

        None if Pillow must decode `data`. `part` is (left, upper, right, lower) in the image whose
        sides are divided by `scale`. The pixels are uint8: (H, W, 4) with an unused fourth byte, or
        (H, W) for one channel. They lie in the array that `memory(length)` returns. Near the edges
        of the part the colours may differ from those of the whole image.
        """
        left, top, right, bottom = part
        edges = (_UNSIGNED * 2)(left, right)
        start = ctypes.addressof(edges)
        # The decoder extends the columns to whole blocks on both sides, of 32 pixels at most.
        out = memory((bottom - top + 1) * (right - left + 64) * channels)
        status = self._decode(
            *(self._functions, _STRUCT_BYTES, data, len(data), scale, channels),
            *(start, top, start + 4, bottom, out.ctypes.data),
        )
        if status:
            return None
        left, right = edges
        shape = (bottom - top, right - left, channels)[: 2 if channels == 1 else 3]
        return out[: math.prod(shape)].reshape(shape), left


def _path_of_pillows_library() -> str:
    """Return the path of the JPEG library that Pillow has loaded.

    ImportError if the library is not a separate file.
    """
    Image.preinit()
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        mapped = [line.rstrip("\n").split(maxsplit=5) for line in maps]
    for *_, path in (fields for fields in mapped if len(fields) == 6):
        if re.match(r"libjpeg[-.]", path.rpartition("/")[2]):
            return path
    raise ImportError("Pillow has not loaded a JPEG library")

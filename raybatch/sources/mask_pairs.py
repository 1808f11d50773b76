"""Images and masks in two fields of a source: a mask must show the part that its image shows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors.images import EncodedImages, ImageArrays, ImageObjects
from raybatch.accessors.noted_sizes import noting_sizes
from raybatch.accessors.reading import RngOf, seeded_alone
from raybatch.errors import SampleReadError
from raybatch.image.motion import is_alike
from raybatch.image.reader import motion
from raybatch.image.view import Size


class MaskPairs:
    """The accessors of masks among `fields`, each with the accessor of its images.

    The images of a mask are the only images of the source, or the only ones with its transform.
    """

    def __init__(self, fields: Mapping[Any, Any]) -> None:
        readers = {
            key: array.reader_at(0)
            for key, array in fields.items()
            if isinstance(array, (ImageArrays, ImageObjects)) and len(array)
        }
        images = [key for key, reader in readers.items() if not reader.mask]
        self._image_of: dict[Any, Any] = {}
        for key, reader in readers.items():
            if reader.mask:
                alike = [one for one in images if readers[one].transform == reader.transform]
                found = images if len(images) == 1 else alike
                if len(found) == 1:
                    self._image_of[key] = found[0]
        self._keys = {*self._image_of, *self._image_of.values()}

    def noting(self, key: Any) -> AbstractContextManager[dict[int, Size]]:
        """Note the stored sizes of the images that field `key` reads, if a pair needs them."""
        return noting_sizes() if key in self._keys else nullcontext({})

    def check(
        self,
        fields: Mapping[Any, Any],
        sizes: Mapping[Any, Mapping[int, Size]],
        numbers: npt.NDArray[np.intp],
        rng_of: RngOf | None,
    ) -> None:
        """Raise SampleReadError if one of the masks `numbers` shows another part of the scene.

        `sizes` are the stored (width, height) of each field by row. If an image and its mask have
        the same size, the same transform takes the same part of both.
        """
        for key, of_image in self._image_of.items():
            if sizes[key] == sizes[of_image]:
                continue
            for row, size in sizes[key].items():
                image_size = sizes[of_image].get(row, size)
                if size != image_size:
                    make = seeded_alone(numbers) if rng_of is None else rng_of
                    masks, images, number = fields[key], fields[of_image], int(numbers[row])
                    one = motion(masks.reader_at(number), size, make(row))
                    other = motion(images.reader_at(number), image_size, make(row))
                    is_turned = size == image_size[::-1]
                    if is_turned or not is_alike(one, size, other, image_size):
                        raise _unlike(masks, images, number, size, image_size)


def _unlike(
    masks: EncodedImages, images: EncodedImages, number: int, size: Size, image_size: Size
) -> SampleReadError:
    cure = (
        "make the mask as large as the image, or begin both transforms with"
        " augment.Resize((height, width))"
    )
    if size == image_size[::-1]:
        cure = (
            "one of them may be turned by its EXIF data: give both accessors"
            " exif_orientation=True, or turn the mask"
        )
    reason = (
        f"the mask is {size[1]}x{size[0]} pixels (height x width), but its image"
        f" {images.name_of(number)!r} is {image_size[1]}x{image_size[0]}, so they would show"
        f" different parts: {cure}"
    )
    return SampleReadError(masks.name_of(number), number, reason)

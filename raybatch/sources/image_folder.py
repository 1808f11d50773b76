"""A folder of images with labels, as a source: the shortest way from files to batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.checks import height_and_width
from raybatch.image.augment.transform import Change, output_size
from raybatch.order import AbstractSampler
from raybatch.sources.array import ArrayDataSource
from raybatch.sources.source import source_repr
from raybatch.stores.class_labels import labelled_images
from raybatch.structure import brief


class ImageFolder(ArrayDataSource):
    """Samples (image, label) of the image files below `root`, like torchvision's `ImageFolder`.

        data = ImageFolder("train", size=224)
        image, label = data[0]
        print(len(data), data.classes[label])

    The label of an image is the number of its class: the position in `classes`. The class is the name
    of the first folder on the way from `root` to the image. If no image lies in a folder, it is the
    letters that the name of the file begins with, such as `cat` of `cat_01.jpg`; one line on the
    standard error says so.

    An image is a uint8 array `(height, width, 3)`, unless `layout` says otherwise. Without `size` and
    `transform` it is a Pillow image of the stored size.

    Args:
        root: A folder; a pattern such as "train/*/*.jpg", below whose fixed part the class folders
            are; or the URL of either.
        size: (height, width) of the images in pixels, or one integer for both.
        transform: One of `raybatch.augment`, or a function `f(image, rng=generator)` of a Pillow
            image. If it gives all images one size, it gets them as stored; otherwise it gets them
            scaled to `size`.
        classes: The names of the classes in the order of their numbers; by default the sorted names of
            all classes. Give a validation set the classes of its training set.
        filesystem: The file system of pyarrow or fsspec in which `root` is.
        indices, repeats, sampler, include_indices, exclude: As for `ArrayDataSource`.
        **reading: As for `ImageFileAccessor`: `layout`, `mode`, `fit`, `decode`, `io_threads`, ...

    Raises:
        FileNotFoundError, NotADirectoryError: There is no image, or no folder.
        ValueError: An image lies beside class folders, or its class is none of `classes`; a class is
            there twice; or `transform` makes images of another size than `size`.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: int | tuple[int, int] | None = None,
        *,
        transform: Change | None = None,
        classes: Sequence[str] | None = None,
        filesystem: Any = None,
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: AbstractSampler | None = None,
        include_indices: bool = False,
        exclude: Any = None,
        **reading: Any,
    ) -> None:
        if size is not None:
            reading["size"] = height_and_width("size", size, or_edge=True)
        if transform is not None:
            reading["transform"] = transform
            _settle_size(reading)
        images = labelled_images(root, classes=classes, filesystem=filesystem)
        kind = ImageFileAccessor if size or transform else NonUniformImageFileAccessor
        accessor = kind(images.paths, filesystem=filesystem, **reading)
        self.classes = images.classes
        data = [accessor, images.labels]
        super().__init__(data, indices, repeats, sampler, include_indices, exclude)

    def __repr__(self) -> str:
        return source_repr(self, f"{len(self.classes)} classes", brief(self.data[0]))

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """The label of each image below `root`, int64 `(n,)`."""
        labels: npt.NDArray[np.int64] = self.data[1]
        return labels

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class by its name."""
        return {name: label for label, name in enumerate(self.classes)}


def _settle_size(reading: dict[str, Any]) -> None:
    """Remove the size if the transform makes images of that size; ValueError if of another."""
    size, own = reading.get("size"), output_size([reading["transform"]], None)
    if size is None or own is None:
        return
    if own != size:
        raise ValueError(
            f"transform makes images of {own[0]}x{own[1]} pixels (height x width), and size is "
            f"{size[0]}x{size[1]}: leave out the size, or change the transform"
        )
    del reading["size"]

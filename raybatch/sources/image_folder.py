"""A source of the images and labels in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors.image_files import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.checks import counted, height_and_width, says_instead
from raybatch.image.augment.transform import Change, output_size
from raybatch.order.sampler import AbstractSampler
from raybatch.sources.array import ArrayDataSource
from raybatch.sources.source import source_repr
from raybatch.stores.class_labels import labelled_images
from raybatch.structure import brief

# The arguments of torchvision's and other libraries' data sets.
_INSTEAD = {
    "split": "give the folder of that part, as in rb.ImageFolder('data/train')",
    "train": "give the folder of that part, as in rb.ImageFolder('data/train')",
    "target_transform": "use data.map_samples(fn), where fn(image, label, rng) returns both",
    "transforms": "give transform=, which changes only the image",
    "loader": "for a decoder of your own, use rb.ArrayDataSource(rb.ItemAccessor(items))",
    "is_valid_file": "give a pattern, as in rb.ImageFolder('train/*/*.jpg'), or exclude=",
    "extensions": "give a pattern, as in rb.ImageFolder('train/*/*.jpg')",
    "allow_empty": "leave it out; folders without images are classes",
    "image_size": "give size=224 or size=(height, width)",
    "img_size": "give size=224 or size=(height, width)",
    "class_names": "give classes=",
    "labels": "use rb.ArrayDataSource([rb.ImageFileAccessor(paths, size), labels])",
    "batch_size": "give it to the loader, as in rb.Loader(data, 64)",
    "shuffle": "give it to the loader, as in rb.Loader(data, 64, shuffle=True, seed=7)",
    "seed": "give it to the loader, as in rb.Loader(data, 64, shuffle=True, seed=7)",
    "mean": "give layout=rb.PixelLayout(mean=..., std=...)",
    "std": "give layout=rb.PixelLayout(mean=..., std=...)",
    "normalize": "give layout=rb.PixelLayout(mean=..., std=...)",
}


class ImageFolder(ArrayDataSource):
    """Samples (image, label) of the image files below `root`, like torchvision's `ImageFolder`.

        data = ImageFolder("train", size=224)
        image, label = data[0]
        print(len(data), data.classes[label])

    The label of an image is the number of its class, which is its position in `classes`. The class
    is the name of the first folder below `root` on the path of the image. If no image lies in such
    a folder, the class is the letters at the start of the file name, such as `cat` of `cat_01.jpg`;
    a line on the standard error says so.

    An image is a uint8 array `(height, width, 3)`, unless `layout` says otherwise. Without `size`
    and `transform` it is a Pillow image of the stored size.

    Args:
        root: A folder, a pattern such as "train/*/*.jpg", or the URL of either. The class folders
            of a pattern are below its fixed part.
        size: (height, width) of the images in pixels, or one integer for both.
        transform: A transform of `raybatch.augment`, or a function `f(image, rng=generator)` of a
            Pillow image. A transform that gives all images the same size receives them as
            stored; any other receives them scaled to `size`.
        classes: The names of the classes in the order of their numbers; by default the sorted names
            of all classes. Give a validation set the classes of its training set.
        filesystem: The pyarrow or fsspec file system that contains `root`.
        indices, repeats, sampler, include_indices, exclude: As for `ArrayDataSource`.
        **reading: As for `ImageFileAccessor`: `layout`, `mode`, `fit`, `decode`, `io_threads`, ...

    Raises:
        FileNotFoundError, NotADirectoryError: If there is no image or no folder, or a file instead.
        ValueError: If an image lies beside class folders, `classes` lacks its class or names one
            twice, or `transform` makes images of a size other than `size`. Without `classes` also
            if the folders are named as parts of a data set, such as train and val, or if a folder
            of images has no classes.
        FirstSampleError: At a `Loader` of this source without `size` and `transform`.
    """

    @says_instead("ImageFolder", _INSTEAD)
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
        return source_repr(
            self, counted(len(self.classes), "class", "classes"), brief(self.data[0])
        )

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
    """Remove `size` if the transform makes images of that size.

    ValueError if their size differs.
    """
    size, own = reading.get("size"), output_size([reading["transform"]], None)
    if size is None or own is None:
        return
    if own != size:
        raise ValueError(
            f"transform makes images of {own[0]}x{own[1]} pixels (height x width), but size is "
            f"{size[0]}x{size[1]}: leave out the size, or change the transform"
        )
    del reading["size"]

# mypy: ignore-errors
# ruff: noqa
"""The program of BatchUp's documentation page "Loading images from disk on-the-fly".

It is as on the page, except for its imports and three missing or surplus brackets. `image_paths` is
an argument here.
"""

import os

import numpy as np
import six
from PIL import Image

from raybatch import data_source


class ImageFileAccessor(object):
    def __init__(self, paths):
        # Paths is a list of file paths
        self.paths = paths

    # We have to imlement the `__len__` method:
    def __len__(self):
        return len(self.paths)

    # We have to implement the `__getitem__` method that
    # `ArrayDataSource` will use to get samples
    def __getitem__(self, index):
        # Check if its a built-in Python integer *or* a NumPy
        # integer type
        if isinstance(index, six.integer_types + (np.integer,)):
            return self._load_image(self.paths[index])
        elif isinstance(index, np.ndarray):
            if index.ndim != 1:
                raise ValueError(
                    "index array should only have 1 dimension, not {}".format(index.ndim)
                )
            images = [self._load_image(self.paths[i]) for i in index]
            return np.stack(images, axis=0)
        else:
            raise TypeError(
                "index should be an integer or a NumPy array, not a {}".format(type(index))
            )

    # Define a helper method for loading an image
    def _load_image(self, path):
        # Load the image using Pillow and convert to a NumPy array
        img = Image.open(path)
        return np.array(img)


def uniform_source(image_paths, train_y):
    # Build our array-like image file accessor
    train_X = ImageFileAccessor(image_paths)

    # Let's assume `train_y` is a NumPy array

    # Mixing custom array types with NumPy arrays is fine
    ds = data_source.ArrayDataSource([train_X, train_y])
    return ds


class NonUniformImageFileAccessor(object):
    def __init__(self, paths):
        # Paths is a list of file paths
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, six.integer_types + (np.integer,)):
            return self._load_image(self.paths[index])
        elif isinstance(index, np.ndarray):
            if index.ndim != 1:
                raise ValueError(
                    "index array should only have 1 dimension, not {}".format(index.ndim)
                )
            return [self._load_image(self.paths[i]) for i in index]
        else:
            raise TypeError(
                "index should be an integer or a NumPy array, not a {}".format(type(index))
            )

    # Define a helper method for loading an image
    def _load_image(self, path):
        # Load the image using Pillow
        return Image.open(path)


def augment_batch(batch_X, batch_y):
    out_X = []
    # For each PIL Image in `batch_X`:
    for img in batch_X:
        # Resize to 64 x 64
        img = img.resize((64, 64))

        # PIL allows you to easily get the image data as
        # a NumPy array
        x = np.array(img)

        out_X.append(x)

    # Stack the images into one array
    out_X = np.stack(out_X, axis=0)

    return (out_X, batch_y)


def kaggle_source(image_paths):
    # Build our array-like image file accessor
    train_X = NonUniformImageFileAccessor(image_paths)

    # Construct our ground truths as a NumPy array
    # The ground truth class is determined by the prefix
    train_y = [(1 if os.path.basename(p).startswith("dog") else 0) for p in image_paths]
    train_y = np.array(train_y, dtype=np.int32)

    # Mixing custom array types with NumPy arrays is fine
    kaggle_ds = data_source.ArrayDataSource([train_X, train_y])

    # Apply augmentation function
    kaggle_ds = kaggle_ds.map(augment_batch)
    return kaggle_ds

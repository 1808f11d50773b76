"""The images that a command's argument IMAGES names, whatever their form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from raybatch.cli.options import CannotRunError
from raybatch.stores.class_labels import class_labels, numbered_labels
from raybatch.stores.location import Location

DEFAULT_SIZE = (224, 224)
# The class index of each image, and the names of the classes.
Labels: TypeAlias = tuple[npt.NDArray[np.int32], list[str]]


@dataclass(frozen=True)
class NamedImages:
    """The images that an argument of a command names.

    `form` describes them. `open(size, transform, **reading)` returns the accessor that reads them.
    `names` has the name of each image below its folder. `own_labels()` returns the labels and class
    names that the data stores; it is None if the data stores none. Then the class is the first
    folder in the name, or else the letters at its start; `folder`, if given, has a folder for each
    class.

    `paths` has the paths of image files, and is None for other forms. `blocks` has the lengths of
    the blocks that are read as a whole, and is None if each image is read by itself. `nbytes` is
    the stored size of all images, None if unknown. `left_out` counts the other files beside them,
    by suffix. `packed_size` is the (height, width) of packed images.
    """

    given: str
    form: str
    open: Callable[..., Any]
    names: Sequence[str]
    own_labels: Callable[[], Labels] | None = None
    folder: Location | None = None
    paths: list[str] | None = None
    blocks: npt.NDArray[np.int64] | None = None
    nbytes: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    is_packed: bool = False
    packed_size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def default_size(self) -> tuple[int, int]:
        """The default (height, width): the size of packed images, otherwise 224 pixels."""
        return self.packed_size or DEFAULT_SIZE

    def labelled(self, classes: Sequence[str] | None = None) -> Labels:
        """Return a label for each image, and the names of the labels.

        `classes` fixes the numbers. Without it, an empty class folder gets a number too, unless
        there are images beside the class folders. Raises CannotRunError for a class that `classes`
        lacks.
        """
        try:
            if self.own_labels is None:
                return _narrow(class_labels(self.names, self.folder, classes))
            labels, names = self.own_labels()
            if classes is None:
                return labels, names
            return _narrow(numbered_labels([names[label] for label in labels], None, classes))
        except ValueError as error:
            raise CannotRunError(str(error)) from error


def _narrow(labelled: tuple[npt.NDArray[np.int64], list[str]]) -> Labels:
    labels, names = labelled
    return labels.astype(np.int32), names

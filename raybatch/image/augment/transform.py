"""What all augmentations have in common, and several as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from PIL import Image


class Transform(ABC):
    """A random change of one image: `transform(image, rng=rng)`, of the same kind as `image`.

    `image` is a uint8 array, (H, W, 3) or (H, W), or a PIL image. It is not changed; where nothing is to be
    done, it is itself the result. Arrays take the way through Pillow, so both kinds have the same pixels.
    """

    @overload
    def __call__(self, image: Image.Image, *, rng: np.random.Generator) -> Image.Image: ...
    @overload
    def __call__(
        self, image: npt.NDArray[np.uint8], *, rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]: ...
    def __call__(
        self, image: Image.Image | npt.NDArray[np.uint8], *, rng: np.random.Generator
    ) -> Image.Image | npt.NDArray[np.uint8]:
        if isinstance(image, Image.Image):
            return self.on_image(image, rng)
        _check_array(image)
        return self.on_array(image, rng)

    def on_array(
        self, image: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        """Return the changed array, or `image` itself."""
        before = Image.fromarray(image)
        after = self.on_image(before, rng)
        return image if after is before else np.array(after)

    @abstractmethod
    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Return the changed image, or `image` itself; the one method that a subclass adds."""


class ArrayTransform(Transform):
    """A transform that changes arrays without a PIL image, by the same draws and to the same pixels.

    The result may be a view of the array.
    """

    @abstractmethod
    def on_array(
        self, image: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        """Return the changed array, a view of `image`, or `image` itself."""


@dataclass(frozen=True)
class Compose(Transform):
    """Each of `transforms` in turn, on a PIL image: an array becomes one once, and an array again at the end.

    Those at the front that need none, `ArrayTransform`s, work on the array. A transform is a `Transform` or any
    function that is called as `transform(image, rng=rng)`.
    """

    transforms: Sequence[Callable[..., Any]]

    def __post_init__(self) -> None:
        try:
            transforms = tuple(self.transforms)
        except TypeError:
            raise TypeError(
                f"transforms must be a sequence of functions, not {self.transforms!r}"
            ) from None
        for transform in transforms:
            if not callable(transform):
                raise TypeError(f"transforms must be functions, not {transform!r}")
        object.__setattr__(self, "transforms", transforms)

    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        for transform in self.transforms:
            image = transform(image, rng=rng)
        return image

    def on_array(
        self, image: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        for number, transform in enumerate(self.transforms):
            if not isinstance(transform, ArrayTransform):
                return super(Compose, Compose(self.transforms[number:])).on_array(image, rng)
            image = transform.on_array(image, rng)
        return image


def _check_array(array: Any) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        kind = f"array of {array.dtype}" if isinstance(array, np.ndarray) else type(array)
        raise TypeError(f"an image must be a uint8 array or a PIL image, not {kind}")
    if array.shape[2:] not in ((), (3,)) or array.ndim < 2 or not array.size:
        raise ValueError(f"an image must have the shape (H, W, 3) or (H, W), not {array.shape}")

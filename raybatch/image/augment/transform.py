"""What all augmentations have in common, checks of their settings too, and several as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.scaling import ResizedPart

Made = Image.Image | npt.NDArray[np.uint8] | ResizedPart


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
        return _as_array(self.on_array(image, rng))

    @abstractmethod
    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Return the changed image, or `image` itself; the one method that a subclass must add."""

    def on_array(self, array: npt.NDArray[np.uint8], rng: np.random.Generator) -> Made:
        """Return what `on_image` makes of the image in `array`, or `array` itself.

        That is an array, an image or one still to be made, whichever takes less; it may be a view of `array`.
        """
        return _of_image(partial(self.on_image, rng=rng), array)

    def on_part(self, part: ResizedPart, rng: np.random.Generator) -> Made:
        """Return what `on_array` makes of `part.array()`."""
        return self.on_array(part.array(), rng)


@dataclass(frozen=True)
class Compose(Transform):
    """Each of `transforms` in turn.

    An array becomes a PIL image where one of them makes it one, and an array again at the end. A transform is a
    `Transform` or any function that is called as `transform(image, rng=rng)`.
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

    def on_array(self, array: npt.NDArray[np.uint8], rng: np.random.Generator) -> Made:
        image: Made = array
        for transform in self.transforms:
            if isinstance(image, ResizedPart) and isinstance(transform, Transform):
                image = transform.on_part(image, rng)
                continue
            image = image.array() if isinstance(image, ResizedPart) else image
            if isinstance(image, Image.Image):
                image = transform(image, rng=rng)
            elif isinstance(transform, Transform):
                image = transform.on_array(image, rng)
            else:
                image = _of_image(partial(transform, rng=rng), image)
        return image


def _of_image(change: Callable[[Image.Image], Image.Image], array: npt.NDArray[np.uint8]) -> Made:
    before = Image.fromarray(array)
    after = change(before)
    return array if after is before else after


def _as_array(image: Made) -> npt.NDArray[np.uint8]:
    if isinstance(image, ResizedPart):
        return image.array()
    return image if isinstance(image, np.ndarray) else np.array(image)


def _check_array(array: Any) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        kind = f"array of {array.dtype}" if isinstance(array, np.ndarray) else type(array)
        raise TypeError(f"an image must be a uint8 array or a PIL image, not {kind}")
    if array.shape[2:] not in ((), (3,)) or array.ndim < 2 or not array.size:
        raise ValueError(f"an image must have the shape (H, W, 3) or (H, W), not {array.shape}")


def is_number(value: Any) -> bool:
    """Return whether `value` is a real number, Python's or NumPy's."""
    return isinstance(value, (int, float, np.integer, np.floating))


def pair(name: str, value: Any) -> tuple[float, float]:
    """Return `value` as (min, max); TypeError, naming the setting, if it is not two numbers."""
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be (min, max), two numbers, not {value!r}") from None
    return low, high

"""What all augmentations have in common, checks of their settings too, and several as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.view import Step
from raybatch.image.viewed import InMemory, Source, Viewed

# A `Transform`, or any function that is called as `change(image, rng=rng)` with a Pillow image and returns one.
Change: TypeAlias = Callable[..., Any]


class Transform(ABC):
    """A change of one image: `transform(image, rng=rng)`, of the same kind as `image`.

    `image` is a uint8 array, (H, W, 3) or (H, W), or a PIL image. It is not changed; where nothing is to be
    done, it is itself the result. Both kinds have the same pixels.
    """

    # Whether the result depends on `rng`.
    is_random = True

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
        check_array(image)
        viewed = changed(InMemory(image), flat(self), rng)
        return viewed.array()

    @abstractmethod
    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Return the changed image, or `image` itself; the one method that a subclass must add."""

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Return the (height, width) of the result of images of `size`; None where that differs or is not known."""
        return size


class Geometric(Transform):
    """A change of place, size or direction alone, which is known before a pixel is decoded.

    Several in a row are one view of the image, and are done in one pass where that has the same pixels.
    """

    @abstractmethod
    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        """Return what is done to an image of `width` × `height` pixels."""

    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return changed(InMemory(image), (self,), rng).image()


@dataclass(frozen=True)
class Compose(Transform):
    """Each of `transforms` in turn.

    A transform is a `Transform` or any function that is called as `transform(image, rng=rng)`, with a Pillow image.
    """

    transforms: Sequence[Change]

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
        return changed(InMemory(image), flat(self), rng).image()


def flat(change: Change) -> tuple[Change, ...]:
    """Return the parts of a `Compose` and of those in it, or `change` alone."""
    if not isinstance(change, Compose):
        return (change,)
    return tuple(part for transform in change.transforms for part in flat(transform))


def made_by(
    change: Change,
    image: Any,
    rng: np.random.Generator | None,
    begin: Callable[[], None] | None = None,
) -> Any:
    """Return what `change`, which may be a function of the program's own, makes of `image`; TypeError if that is no image.

    `begin()` is called before such a function, which may draw from other generators than `rng`.
    """
    if begin is not None and not isinstance(change, Transform) and is_random(change):
        begin()
    made = change(image, rng=rng)
    if not isinstance(made, (Image.Image, np.ndarray)):
        raise TypeError(f"{change!r} must return an image, and returned {made!r}")
    return made


def changed(
    source: Source,
    changes: Sequence[Change],
    rng: np.random.Generator | None,
    make: Callable[..., Any] = made_by,
) -> Viewed:
    """Return what `changes` make of the image in `source`, one after the other: the last view not taken yet.

    `make(change, image, rng)` has the result of one that is no view.
    """
    viewed = Viewed.all_of(source)
    for change in changes:
        if isinstance(change, Geometric):
            for step in change.steps(*viewed.size, rng):  # type: ignore[arg-type]
                viewed = viewed.then(step)
        else:
            image = viewed.image()
            made = make(change, image, rng)
            if made is not image:
                viewed = Viewed.all_of(InMemory(made))
    return viewed


def output_size(changes: Sequence[Change], size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the (height, width) that images of `size` have after all `changes`; None where it differs or is not known.

    A plain function is taken to leave it.
    """
    for change in changes:
        size = change.output_size(size) if isinstance(change, Transform) else size
    return size


def is_random(change: Change) -> bool:
    """Return whether the result of `change` may depend on random numbers, as that of a plain function may."""
    return any(getattr(part, "is_random", True) for part in flat(change))


def check_array(array: Any) -> None:
    """Raise TypeError or ValueError for what is no uint8 array (H, W, 3) or (H, W)."""
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

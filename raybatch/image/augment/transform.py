"""The base classes of all augmentations, and `Compose`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.checks import height_and_width, in_order, takes
from raybatch.errors import ReturnError
from raybatch.image.augment.own_numbers import check_first_use, own_generator
from raybatch.image.augment.targets import OnFields, Targets
from raybatch.image.motion import size_after
from raybatch.image.view import Step
from raybatch.image.viewed import InMemory, Source, Viewed
from raybatch.structure import brief, described, function_name

# A `Transform`, or any function that is called as `change(image, rng=rng)` with a Pillow image and
# returns one.
Change: TypeAlias = Callable[..., Any]


# A change that moves no pixel: called with a Pillow image, it returns one of the same size, and
# draws no random numbers.
Paint: TypeAlias = Callable[[Image.Image], Image.Image]


_AS_BY_DEFAULT = Targets()


class Transform(ABC):
    """A change of one image: `transform(image, rng=rng)` returns an image of the same kind.

    `image` is a uint8 array, (H, W, 3) or (H, W), or a PIL image. It is never modified; if nothing
    changes, the PIL image itself or a view of the array is returned. Arrays and PIL images get the
    same pixels.

    The targets of the image change together with it: `image, mask, boxes, labels = change(image,
    mask=mask, boxes=boxes, labels=labels, rng=rng)`. The result is a tuple of the arguments that
    were given, in this order, with `keypoints` last.

    - `mask`: a Pillow image of one channel, or an array (H, W) of integers, bools or float32, or
      (k, H, W), one for each of k objects. Each new pixel is a copy of the nearest old one, so
      values never mix.
    - `boxes`: (k, 4), and their `labels`: an array or list of length k, or a tuple or dict of
      several. Boxes that are out of sight, or less visible than `min_visible`, are dropped with
      their labels; the others are clipped.
    - `keypoints`: (k, 2), x and y, or (k, 3) with their visibility; or (k, n, 2) or (k, n, 3), n
      for each box. Keypoints out of sight become zeros.

    Further arguments are the settings of `Targets`, such as `box_format="xywh"`.

    All random numbers come from `rng`; each random part of a `Compose` gets a generator of its own.
    `map_samples` passes a generator for each sample. A second call of the same transform with that
    generator would draw different numbers, and is a TypeError.

    A subclass that changes only colours, and draws random numbers while it does so, implements
    `on_image`. Any other subclass derives from `Drawn`.
    """

    # Whether the result depends on `rng`.
    is_random = True

    @overload
    def __call__(self, image: Image.Image, *, rng: np.random.Generator) -> Image.Image: ...
    @overload
    def __call__(
        self, image: npt.NDArray[np.uint8], *, rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]: ...
    @overload
    def __call__(
        self,
        image: Any,
        *,
        rng: np.random.Generator,
        mask: Any = None,
        boxes: Any = None,
        labels: Any = None,
        keypoints: Any = None,
        **settings: Any,
    ) -> Any: ...
    def __call__(
        self,
        image: Any,
        *,
        rng: np.random.Generator,
        mask: Any = None,
        boxes: Any = None,
        labels: Any = None,
        keypoints: Any = None,
        **settings: Any,
    ) -> Any:
        given = {"mask": mask, "boxes": boxes, "labels": labels, "keypoints": keypoints}
        given = {kind: value for kind, value in given.items() if value is not None}
        targets = Targets(**settings) if settings else _AS_BY_DEFAULT
        result = self.together({"image": image, **given}, targets, rng)
        return tuple(result.values()) if given else result["image"]

    def on(
        self,
        *,
        image: str,
        mask: str | None = None,
        boxes: str | None = None,
        labels: str | tuple[str, ...] | None = None,
        keypoints: str | None = None,
        **settings: Any,
    ) -> OnFields:
        """Return this change as a function of samples that are dicts.

        The arguments are the names of the fields of a sample:

            source.map_samples(change.on(image="image", boxes="boxes"))

        `labels` may be a tuple of names. `settings` are those of `Targets`. The function is called
        as `fn(sample, rng=rng)`, and returns a dict with the same fields; Pillow images become
        arrays.
        """
        fields = {
            "image": image,
            "mask": mask,
            "boxes": boxes,
            "labels": labels,
            "keypoints": keypoints,
        }
        named = {kind: name for kind, name in fields.items() if name is not None}
        return OnFields(self, named, Targets(**settings))

    def together(
        self, given: Mapping[str, Any], targets: Targets, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Return the image and its targets after one draw. `given` holds them by argument name."""
        if is_random(self):
            check_first_use(self, rng)
        image = given["image"]
        if not isinstance(image, Image.Image):
            check_array(image)
        source = InMemory(image)
        moves: list[Step] | None = [] if len(given) > 1 else None
        viewed = changed(source, flat(self), rng, moves=moves)
        made = viewed.image() if isinstance(image, Image.Image) else viewed.array()
        if moves is None:
            return {"image": made}
        moved = targets.moved(given, moves, source.size)
        return {kind: made if kind == "image" else moved[kind] for kind in given}

    def boxes_back(self, boxes: Any, size: tuple[int, int], **settings: Any) -> npt.NDArray[Any]:
        """Return `boxes` that a model found in the result as boxes in the original image.

        `boxes` and the returned boxes are (k, 4). The returned boxes are clipped to the original
        image, whose `size` is (height, width). `settings` are `box_format` and `relative` of
        `Targets`. ValueError for a random change, which cannot be undone.
        """
        if is_random(self):
            raise ValueError(f"{self!r} is random, so it cannot be undone: its draws are not known")
        height, width = height_and_width("size", size)
        steps = [
            step for step in steps_in_turn(flat(self), width, height, None) if not callable(step)
        ]
        return Targets(**settings).moved_back(boxes, steps, (width, height))

    @abstractmethod
    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Return the changed image, or `image` itself."""

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Return the (height, width) of the result for images of `size`; None if it is unknown."""
        return size


class Drawn(Transform):
    """A change drawn from the size of the image alone, then applied to the image and its targets.

    `steps` draws all random numbers, and returns what happens step by step. A step is one of
    `Scale`, `Crop`, `Mirror` and `Warp` of `raybatch.image.view`, which move pixels. Or it is a
    `Paint`: a function of the image that moves no pixels, and is not applied to masks.
    """

    @abstractmethod
    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step | Paint]:
        """Return the steps for an image of this size. Each starts from the result before it."""

    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return changed(InMemory(image), flat(self), rng).image()


class Geometric(Drawn):
    """A change that only moves pixels, and is known before any pixel is decoded.

    Several such changes in a row become one view of the image, and are done in one pass if that
    gives the same pixels.
    """

    @abstractmethod
    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        """Return the steps for an image of `width` × `height` pixels."""


@dataclass(frozen=True, init=False)
class Compose(Drawn):
    """Applies `transforms` one after the other.

    A transform is a `Transform`, or any function that is called as `transform(image, rng=rng)` with
    a Pillow image.
    """

    transforms: Sequence[Change]

    def __init__(self, transforms: Sequence[Change], *more: Any) -> None:
        if more:
            raise TypeError(
                f"Compose takes one list of transforms, not {1 + len(more)} arguments: write"
                " Compose([...])"
            )
        object.__setattr__(self, "transforms", checked_changes(type(self), transforms))

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step | Paint]:
        return steps_in_turn(flat(self), width, height, rng)

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        return output_size(self.transforms, size)


def checked_changes(owner: type, transforms: Any) -> tuple[Any, ...]:
    """Return the `transforms` given to `owner` as a tuple; TypeError if they are not iterable."""
    if callable(transforms) or not isinstance(transforms, Iterable):
        raise TypeError(
            f"{owner.__name__} takes a list of transforms, not {brief(transforms)}: write"
            f" {owner.__name__}([...])"
        )
    changes = tuple(in_order("transforms", transforms))
    check_changes(changes)
    return changes


def check_changes(transforms: Sequence[Any]) -> None:
    """Raise TypeError unless each of `transforms` is a function of one image.

    The message says whether one is not callable, takes no `rng`, is a class instead of an instance,
    or changes whole batches.
    """
    for transform in transforms:
        if isinstance(transform, type):
            name = transform.__name__
            raise TypeError(
                f"transforms must be functions, not the class {name}: write {name}(...)"
            )
        if isinstance(transform, (list, tuple)):
            raise TypeError(
                f"transforms must be functions, not {transform!r}: write Compose([...])"
            )
        if not callable(transform):
            raise TypeError(f"transforms must be functions, not {transform!r}")
        if not takes(transform, None, rng=None):
            raise TypeError(
                "transforms are called with (image, rng=generator), which"
                f" {function_name(transform)} does not take: write lambda image, rng:"
                " function(image)"
            )
        if getattr(transform, "is_of_batches", False):
            raise TypeError(
                f"{transform!r} changes batches, not images: give it to source.map(..., rng=True)"
            )


def flat(change: Change) -> tuple[Change, ...]:
    """Return the parts of a `Compose`, at any depth, or `change` alone."""
    if not isinstance(change, Compose):
        return (change,)
    return tuple(part for transform in change.transforms for part in flat(transform))


def has_function(change: Change) -> bool:
    """Return whether `change` is a function of the program, or holds one."""
    inner = getattr(change, "transforms", ())
    return not isinstance(change, Transform) or any(map(has_function, inner))


def made_by(
    change: Change, paint: Paint, image: Any, begin: Callable[[], None] | None = None
) -> Any:
    """Return `paint(image)`, a step of `change`; ReturnError if the result is not an image.

    `begin()` is called before a function of the program, which may draw from generators of other
    libraries.
    """
    if begin is not None and isinstance(paint, _Own) and is_random(paint.function):
        begin()
    made: Any = paint(image)
    if not isinstance(made, (Image.Image, np.ndarray)):
        raise ReturnError(
            f"{function_name(change)} returned {described(made)}, but must return an image"
        )
    return made


def changed(
    source: Source,
    changes: Sequence[Change],
    rng: np.random.Generator | None,
    make: Callable[..., Any] = made_by,
    moves: list[Step] | None = None,
) -> Viewed:
    """Return the image in `source` after `changes`, as a view whose pixels are not computed yet.

    `make(change, paint, image)` applies a `Paint`, as `made_by` does. If `moves` is given, the
    steps that move pixels are appended to it. A function of the program that changes the size of
    the image is then a ValueError.
    """
    viewed = Viewed.all_of(source)
    for change in changes:
        for step in _steps(change, *viewed.size, rng):
            if not callable(step):
                viewed = viewed.then(step)
                if moves is not None:
                    moves.append(step)
                continue
            size = viewed.size
            viewed = viewed.painted(partial(make, change, step))
            if moves is not None and viewed.size != size:
                raise ValueError(
                    f"{change!r} changed the size of an image, but masks, boxes and keypoints"
                    " cannot follow that"
                )
    return viewed


def steps_in_turn(
    changes: Sequence[Change], width: int, height: int, rng: np.random.Generator | None
) -> list[Step | Paint]:
    """Return the steps of all `changes` for an image of `width` × `height` pixels."""
    steps: list[Step | Paint] = []
    size = width, height
    for change in changes:
        for step in _steps(change, *size, rng):
            steps.append(step)
            size = size if callable(step) else size_after(step, size)
    return steps


def _steps(
    change: Change, width: int, height: int, rng: np.random.Generator | None
) -> Sequence[Step | Paint]:
    """Return the steps of `change`, which is not a `Compose` and gets a generator of its own."""
    own = own_generator(rng) if rng is not None and is_random(change) else rng
    if isinstance(change, Drawn):
        return change.steps(width, height, own)  # type: ignore[arg-type]
    if isinstance(change, Transform):
        return [partial(change.on_image, rng=own)]  # type: ignore[arg-type]
    return [_Own(change, own)]


@dataclass(frozen=True)
class _Own:
    """A function of the program, with the generator for its call."""

    function: Change
    rng: np.random.Generator | None

    def __call__(self, image: Image.Image) -> Any:
        return self.function(image, rng=self.rng)


def output_size(changes: Sequence[Change], size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the (height, width) of images of `size` after all `changes`; None if unknown.

    A plain function is assumed to keep the size.
    """
    for change in changes:
        size = change.output_size(size) if isinstance(change, Transform) else size
    return size


def is_random(change: Change) -> bool:
    """Return whether `change` may depend on random numbers, as any plain function may."""
    return any(getattr(part, "is_random", True) for part in flat(change))


def check_array(array: Any) -> None:
    """Raise TypeError or ValueError unless `array` is uint8 (H, W, 3) or (H, W)."""
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        kind = f"array of {array.dtype}" if isinstance(array, np.ndarray) else type(array)
        raise TypeError(f"an image must be a uint8 array or a PIL image, not {kind}")
    if array.shape[2:] not in ((), (3,)) or array.ndim < 2 or not array.size:
        raise ValueError(f"an image must have the shape (H, W, 3) or (H, W), not {array.shape}")

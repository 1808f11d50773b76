"""Transforms that happen with a probability."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybatch.checks import is_number
from raybatch.image.augment.transform import (
    Change,
    Drawn,
    Paint,
    checked_changes,
    flat,
    output_size,
    steps_in_turn,
)
from raybatch.image.view import Step


class Occasional(Drawn):
    """A change that happens with the probability `p`, a field of each subclass."""

    p: float

    def __post_init__(self) -> None:
        check_probability(self.p)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step | Paint]:
        return self.made(width, height, rng) if rng.random() < self.p else []

    @abstractmethod
    def made(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step | Paint]:
        """Return the steps of the change when it happens."""


@dataclass(frozen=True)
class RandomApply(Occasional):
    """Applies all of `transforms` in turn with the probability `p`, or none of them."""

    transforms: Sequence[Change]
    p: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "transforms", _checked(self))
        super().__post_init__()

    def made(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step | Paint]:
        return _steps_of(self.transforms, width, height, rng)

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        changed = _output_size(self.transforms, size)
        return changed if self.p == 1 or changed == size else size if self.p == 0 else None


@dataclass(frozen=True)
class RandomChoice(Drawn):
    """Applies one of `transforms`, drawn with the probabilities `p`.

    The values of `p` need not add up to 1; with None all transforms are equally likely. If all
    `transforms` change whole batches, as `MixUp` and `CutMix` do, so does this one.
    """

    transforms: Sequence[Change]
    p: Sequence[float] | None = None

    def __post_init__(self) -> None:
        transforms = tuple(self.transforms) if self.is_of_batches else _checked(self)
        object.__setattr__(self, "transforms", transforms)
        if self.p is None:
            return
        p = tuple(float(value) for value in self.p)
        if len(p) != len(transforms):
            raise ValueError(f"p has {len(p)} values, but there are {len(transforms)} transforms")
        if min(p) < 0 or not 0 < sum(p) < np.inf:
            raise ValueError(f"the values of p must be 0 or more, and not all 0: {self.p!r}")
        object.__setattr__(self, "p", p)

    @property
    def is_of_batches(self) -> bool:
        """Whether it changes whole batches."""
        transforms = self.transforms if isinstance(self.transforms, Sequence) else ()
        kinds = [getattr(transform, "is_of_batches", False) for transform in transforms]
        return bool(kinds) and all(kinds)

    def __call__(self, *given: Any, rng: Any, **targets: Any) -> Any:
        if self.is_of_batches:
            return self._chosen(rng)(*given, rng=rng)
        return super().__call__(*given, rng=rng, **targets)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step | Paint]:
        return _steps_of([self._chosen(rng)], width, height, rng)

    def _chosen(self, rng: np.random.Generator) -> Change:
        p = None if self.p is None else np.array(self.p) / sum(self.p)
        return self.transforms[int(rng.choice(len(self.transforms), p=p))]

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        sizes = {_output_size([transform], size) for transform in self.transforms}
        return sizes.pop() if len(sizes) == 1 else None


def check_probability(p: Any) -> None:
    """Raise TypeError or ValueError unless `p` is a number from 0 to 1."""
    if not is_number(p):
        raise TypeError(f"p must be a number, not {p!r}")
    if not 0 <= p <= 1:
        raise ValueError(f"p must be from 0 to 1, not {p!r}")


def _steps_of(
    transforms: Sequence[Change], width: int, height: int, rng: np.random.Generator
) -> list[Step | Paint]:
    return steps_in_turn(_parts(transforms), width, height, rng)


def _output_size(
    transforms: Sequence[Change], size: tuple[int, int] | None
) -> tuple[int, int] | None:
    return output_size(_parts(transforms), size)


def _parts(transforms: Sequence[Change]) -> list[Change]:
    return [part for transform in transforms for part in flat(transform)]


def _checked(owner: RandomApply | RandomChoice) -> tuple[Change, ...]:
    transforms = checked_changes(type(owner), owner.transforms)
    if not transforms:
        raise ValueError("transforms must hold at least one transform")
    return transforms

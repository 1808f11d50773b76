"""Samples drawn with replacement, each with its own probability."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.checks import counted, in_order, numbers_in, positive_int
from raybatch.order.cursor import Cursor, RowsRun, Run
from raybatch.order.indices import (
    IndexArray,
    as_index_array,
    check_covers,
    check_index_range,
)
from raybatch.order.passes import ArrayRun
from raybatch.order.rows import Rows
from raybatch.order.sampler import AbstractSampler
from raybatch.order.shuffle import SeededShuffle, ShuffleRNG

FloatArray = npt.NDArray[np.float64]


class _DrawingSampler(AbstractSampler):
    """The base of samplers that draw with replacement, `num_samples` times or without end."""

    # A class attribute, set on an instance only if given: then older saved states still match.
    num_samples: int | None = None

    def __init__(self, num_samples: int | None) -> None:
        if num_samples is not None:
            self.num_samples = positive_int("num_samples", num_samples)

    def num_indices_generated(self) -> int | float:
        return np.inf if self.num_samples is None else self.num_samples

    def draw_numbers(self, position: int, count: int) -> IndexArray:
        return np.arange(position, position + count)

    def _draws(
        self, population: int | IndexArray, weights: FloatArray, rng: ShuffleRNG | None
    ) -> Draws:
        if rng is None:
            raise NotImplementedError(
                f"{type(self).__name__} cannot sample in order: give a shuffle"
            )
        return Draws(population, weights, rng, self.num_samples)


class WeightedSampler(_DrawingSampler):
    """Draws sample i with probability `weights[i] / weights.sum()`; cannot draw in order.

    An epoch has `num_samples` draws, and each epoch draws again. With None an epoch has no end and
    no `len()`, and a `for` loop over it does not stop.
    """

    def __init__(self, weights: npt.ArrayLike, num_samples: int | None = None) -> None:
        super().__init__(num_samples)
        self.weights = _normalised(weights, "weights")
        self.length = len(self.weights)

    def check_length(self, length: int) -> None:
        check_covers(f"weights has {counted(self.length, 'number')}", self.length, length)

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> Draws:
        """Return the start of the draws; NotImplementedError without a shuffle."""
        return self._draws(self.length, self.weights, shuffle_rng)

    def draw(self, rng: np.random.Generator) -> int:
        return int(rng.choice(self.length, p=self.weights))

    def without(self, indices: IndexArray) -> WeightedSampler:
        check_index_range(indices, self.length)
        weights = self.weights.copy()
        weights[indices] = 0.0
        return WeightedSampler(weights, self.num_samples)

    @staticmethod
    def class_balancing_sample_weights(y: npt.ArrayLike) -> FloatArray:
        """Return weights, float64 `(n,)`, that give all classes the same total weight.

        `y` is the class of each sample, shape `(n,)`: integers, bools or strings, also as a pandas
        Series or Categorical. TypeError for other dtypes, ValueError for a missing class.
        """
        _, numbers, counts = np.unique(_classes(y), return_inverse=True, return_counts=True)
        weights: FloatArray = (1.0 / (counts * len(counts)))[numbers]
        return weights

    @staticmethod
    def class_balancing_sampler(
        y: npt.ArrayLike, num_samples: int | None = None
    ) -> WeightedSampler:
        """Return a sampler that draws each class of `y` equally often."""
        return WeightedSampler(WeightedSampler.class_balancing_sample_weights(y), num_samples)


class WeightedSubsetSampler(_DrawingSampler):
    """Draws sample `indices[i]` with a probability proportional to `sub_weights[i]`.

    `num_samples` has the same meaning as in `WeightedSampler`.
    """

    def __init__(
        self,
        sub_weights: npt.ArrayLike,
        indices: npt.ArrayLike,
        num_samples: int | None = None,
    ) -> None:
        super().__init__(num_samples)
        self.indices = as_index_array(indices)
        self.length = len(self.indices)
        self.sub_weights = _normalised(sub_weights, "sub_weights")
        if len(self.sub_weights) != self.length:
            raise ValueError(
                "sub_weights and indices should have the same length; "
                f"{len(self.sub_weights)} != {self.length}"
            )

    def map_indices(self, indices: Any) -> Any:
        return self.indices[indices]

    def check_length(self, length: int) -> None:
        check_index_range(self.indices, length)

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> Draws:
        """Return the start of the draws; NotImplementedError without a shuffle."""
        return self._draws(self.indices, self.sub_weights, shuffle_rng)

    def draw(self, rng: np.random.Generator) -> int:
        return int(rng.choice(self.indices, p=self.sub_weights))

    def without(self, indices: IndexArray) -> WeightedSubsetSampler:
        stays = ~np.isin(self.indices, indices)
        return WeightedSubsetSampler(self.sub_weights[stays], self.indices[stays], self.num_samples)

    @staticmethod
    def class_balancing_sampler(
        y: npt.ArrayLike, indices: npt.ArrayLike, num_samples: int | None = None
    ) -> WeightedSubsetSampler:
        """Return a sampler over `indices` that draws each class of `y[indices]` equally often."""
        own = np.asarray(y)[as_index_array(indices)]
        weights = WeightedSampler.class_balancing_sample_weights(own)
        return WeightedSubsetSampler(weights, indices, num_samples)


def _classes(y: npt.ArrayLike, name: str = "y") -> npt.NDArray[Any]:
    """Return the class of each sample as an array that can be sorted."""
    classes = np.asarray(in_order(name, y))
    if classes.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension, not {classes.ndim}")
    if classes.size == 0:
        return classes.astype(np.int64)
    if classes.dtype.kind == "O":  # pandas strings, and pandas' missing value
        for place, one in enumerate(classes):
            if not isinstance(one, str | bytes | int | np.integer):
                raise ValueError(
                    f"{name}[{place}] is {one!r}, but must be a class: a string or an integer"
                )
        classes = np.array(classes.tolist())
    if classes.dtype.kind not in "biuSUT":
        raise TypeError(f"{name} must hold classes as integers or strings, not {classes.dtype}")
    return classes


def class_numbers(groups: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the group of each sample as a number from 0, in the order of the sorted groups.

    The errors are those of `_classes`.
    """
    return np.unique(_classes(groups, "groups"), return_inverse=True)[1].astype(np.int64)


def _normalised(weights: npt.ArrayLike, name: str) -> FloatArray:
    array = np.asarray(in_order(name, weights))
    if array.dtype.kind not in "biuf":
        array = np.array(numbers_in(name, weights))
    array = array.astype(np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension, not {array.ndim}")
    wrong = ~np.isfinite(array) | (array < 0)
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(f"{name}[{place}] is {array[place]}, but must be finite and not negative")
    total = array.sum()
    if total == 0.0:
        raise ValueError(f"{name} should not sum to 0")
    normalised: FloatArray = array / total
    return normalised


class Draws(Cursor):
    """`count` draws (None for no end) with replacement from `population`, a length or an array.

    With a generator each run is one call of `choice`, as in BatchUp. With a seed each draw is a
    function of its place: its uniform random number is looked up in the cumulative weights.
    """

    is_even = True

    def __init__(
        self, population: int | IndexArray, weights: FloatArray, rng: Any, count: int | None
    ) -> None:
        self._population, self._weights, self._rng = population, weights, rng
        self._count = np.inf if count is None else count
        self._cumulative: FloatArray | None = None

    def step(self, size: int) -> Run | None:
        size = int(min(size, self._count - self.position))
        if size <= 0:
            return None
        if isinstance(self._rng, SeededShuffle):
            run: Run = ArrayRun([(self, self.position, self.position + size)], self.position)
        else:
            drawn = self._rng.choice(self._population, size=(size,), p=self._weights)
            run = RowsRun(Rows.of(drawn, self.position))
        self.position += size
        return run

    def skip(self, size: int, steps: int) -> None:
        if isinstance(self._rng, SeededShuffle):
            self.position = int(min(self.position + size * steps, self._count))
        else:
            super().skip(size, steps)

    def __getitem__(self, places: slice) -> IndexArray:
        """Return the draws at `places`, if the order comes from a seed."""
        assert isinstance(self._rng, SeededShuffle)
        if self._cumulative is None:
            # Rounding errors must not leave the last value below 1, the end of the random numbers.
            self._cumulative = self._weights.cumsum()
            self._cumulative /= self._cumulative[-1]
        numbers = self._rng.uniforms(places.start, places.stop)
        drawn = self._cumulative.searchsorted(numbers, side="right")
        return drawn if isinstance(self._population, int) else self._population[drawn]

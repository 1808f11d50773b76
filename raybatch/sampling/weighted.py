"""Samples drawn with replacement, each with a probability of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.sampling.abstract import AbstractSampler
from raybatch.sampling.batch_size import check_batch_size
from raybatch.sampling.indices import IndexArray, as_index_array, check_index_range
from raybatch.sampling.shuffle import ShuffleRNG

FloatArray = npt.NDArray[np.float64]


class WeightedSampler(AbstractSampler):
    """Draws sample i with probability `weights[i] / weights.sum()`, without end; cannot draw in order."""

    def __init__(self, weights: npt.ArrayLike) -> None:
        self.weights = _normalised(weights, "weights")
        self.length = len(self.weights)

    def num_indices_generated(self) -> float:
        return np.inf

    def check_length(self, length: int) -> None:
        if self.length > length:
            raise IndexError(f"there are {self.length} weights, the data set has {length} samples")

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[IndexArray]:
        raise NotImplementedError("WeightedSampler cannot sample in order: give a shuffle")

    def shuffled_indices_batch_iterator(
        self, batch_size: int, shuffle_rng: ShuffleRNG
    ) -> Iterator[IndexArray]:
        """Iterate without end over batches, each one `shuffle_rng.choice`."""
        return _draw(shuffle_rng, self.length, check_batch_size(batch_size), self.weights)

    @staticmethod
    def class_balancing_sample_weights(y: npt.NDArray[np.integer[Any]]) -> FloatArray:
        """Return one weight a sample (float64 `(n,)`), so that each class of `y` weighs the same.

        `y` holds classes as integers ≥ 0, shape `(n,)`.
        """
        classes = as_index_array(y)
        counts = np.bincount(classes)
        weight_of_class = np.zeros(len(counts))
        present = counts > 0
        weight_of_class[present] = 1.0 / (counts[present] * present.sum())
        return weight_of_class[classes]

    @staticmethod
    def class_balancing_sampler(y: npt.NDArray[np.integer[Any]]) -> WeightedSampler:
        """Return a sampler that draws each class of `y` equally often."""
        return WeightedSampler(WeightedSampler.class_balancing_sample_weights(y))


class WeightedSubsetSampler(AbstractSampler):
    """Draws sample `indices[i]` with a probability proportional to `sub_weights[i]`, without end."""

    def __init__(self, sub_weights: npt.ArrayLike, indices: npt.ArrayLike) -> None:
        self.indices = as_index_array(indices)
        self.length = len(self.indices)
        weights = np.asarray(sub_weights)
        if len(weights) != self.length:
            raise ValueError(
                "sub_weights and indices should have the same length; "
                f"{len(weights)} != {self.length}"
            )
        self.sub_weights = _normalised(weights, "sub_weights")

    def num_indices_generated(self) -> float:
        return np.inf

    def map_indices(self, indices: Any) -> Any:
        return self.indices[indices]

    def check_length(self, length: int) -> None:
        check_index_range(self.indices, length)

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[IndexArray]:
        raise NotImplementedError("WeightedSubsetSampler cannot sample in order: give a shuffle")

    def shuffled_indices_batch_iterator(
        self, batch_size: int, shuffle_rng: ShuffleRNG
    ) -> Iterator[IndexArray]:
        """Iterate without end over batches, each one `shuffle_rng.choice`."""
        return _draw(shuffle_rng, self.indices, check_batch_size(batch_size), self.sub_weights)

    @staticmethod
    def class_balancing_sampler(
        y: npt.NDArray[np.integer[Any]], indices: npt.NDArray[np.integer[Any]]
    ) -> WeightedSubsetSampler:
        """Return a sampler over `indices` that draws each class of `y[indices]` equally often."""
        weights = WeightedSampler.class_balancing_sample_weights(y[indices])
        return WeightedSubsetSampler(weights, indices=indices)


def _normalised(weights: npt.ArrayLike, name: str) -> FloatArray:
    array = np.asarray(weights).astype(np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension, not {array.ndim}")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{name} must be finite and not negative")
    total = array.sum()
    if total == 0.0:
        raise ValueError(f"{name} should not sum to 0")
    normalised: FloatArray = array / total
    return normalised


def _draw(
    rng: ShuffleRNG, population: int | IndexArray, batch_size: int, weights: FloatArray
) -> Iterator[IndexArray]:
    while True:
        yield rng.choice(population, size=(batch_size,), p=weights)

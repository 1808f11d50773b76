"""Augmentation policies, which draw a few operations from a table for each image.

Names, parameters and ranges are torchvision's. Images are of mode RGB or L. `interpolation` is
"nearest", "bilinear" or "bicubic". `fill` is the value outside the image, one number or one for
each channel; None is 0. Masks, boxes and keypoints move with the image, except in `AugMix`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from raybatch.checks import int_between, is_number, one_of, positive_int
from raybatch.image.augment.operations import (
    AUTO_SPACE,
    MIX_SPACE,
    PARTIAL_MIX_SPACE,
    RANDOM_SPACE,
    WIDE_SPACE,
    Canvas,
    Space,
    done,
    drawn,
    joined,
)
from raybatch.image.augment.transform import Drawn, Paint
from raybatch.image.augment.warping import filled, resampling, set_warping
from raybatch.image.view import Fill, Step


@dataclass(frozen=True)
class RandAugment(Drawn):
    """Applies `num_ops` of 14 operations, drawn at random, all with the same magnitude.

    Args:
        num_ops: The number of operations.
        magnitude: The magnitude, from 0 to `num_magnitude_bins` - 1.
        num_magnitude_bins: The number of magnitudes in the range of an operation.
        interpolation: "nearest", "bilinear" or "bicubic".
        fill: The value outside the image, one number or one for each channel; None is 0.

    From "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space" (Cubuk et
    al., 2020).
    """

    num_ops: int = 2
    magnitude: int = 9
    num_magnitude_bins: int = 31
    interpolation: str | int = "nearest"
    fill: Fill | None = None

    def __post_init__(self) -> None:
        set_warping(self)
        int_between("num_ops", self.num_ops, 0)
        _check_bins(self.num_magnitude_bins)
        last = self.num_magnitude_bins - 1
        int_between("magnitude", self.magnitude, 0, last)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step | Paint]:
        canvas, count = _canvas(self, width, height), self.num_magnitude_bins
        return joined(
            drawn(*_one_of(RANDOM_SPACE, rng), self.magnitude, count, canvas, rng)
            for _ in range(self.num_ops)
        )


@dataclass(frozen=True)
class TrivialAugmentWide(Drawn):
    """Applies one of 14 operations, at any of `num_magnitude_bins` magnitudes of a wide range.

    From "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation" (Müller and Hutter,
    2021).
    """

    num_magnitude_bins: int = 31
    interpolation: str | int = "nearest"
    fill: Fill | None = None

    def __post_init__(self) -> None:
        set_warping(self)
        _check_bins(self.num_magnitude_bins)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step | Paint]:
        name, extent = _one_of(WIDE_SPACE, rng)
        count = self.num_magnitude_bins
        number = 0 if extent is None else int(rng.integers(count))
        return joined([drawn(name, extent, number, count, _canvas(self, width, height), rng)])


# Pairs of operations. Each has a name, a probability, and a magnitude from 0 to 9.
_IMAGENET = (
    (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.8, 0), ("Equalize", 0.6, 0)),
    (("Posterize", 0.6, 7), ("Posterize", 0.6, 6)),
    (("Equalize", 0.4, 0), ("Solarize", 0.2, 4)),
    (("Equalize", 0.4, 0), ("Rotate", 0.8, 8)),
    (("Solarize", 0.6, 3), ("Equalize", 0.6, 0)),
    (("Posterize", 0.8, 5), ("Equalize", 1.0, 0)),
    (("Rotate", 0.2, 3), ("Solarize", 0.6, 8)),
    (("Equalize", 0.6, 0), ("Posterize", 0.4, 6)),
    (("Rotate", 0.8, 8), ("Color", 0.4, 0)),
    (("Rotate", 0.4, 9), ("Equalize", 0.6, 0)),
    (("Equalize", 0.0, 0), ("Equalize", 0.8, 0)),
    (("Invert", 0.6, 0), ("Equalize", 1.0, 0)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Rotate", 0.8, 8), ("Color", 1.0, 2)),
    (("Color", 0.8, 8), ("Solarize", 0.8, 7)),
    (("Sharpness", 0.4, 7), ("Invert", 0.6, 0)),
    (("ShearX", 0.6, 5), ("Equalize", 1.0, 0)),
    (("Color", 0.4, 0), ("Equalize", 0.6, 0)),
    (("Equalize", 0.4, 0), ("Solarize", 0.2, 4)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 0)),
    (("Invert", 0.6, 0), ("Equalize", 1.0, 0)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Equalize", 0.8, 0), ("Equalize", 0.6, 0)),
)
_POLICIES = {"imagenet": _IMAGENET}


@dataclass(frozen=True)
class AutoAugment(Drawn):
    """Applies one of 25 pairs of operations, which were learned on ImageNet.

    From "AutoAugment: Learning Augmentation Strategies from Data" (Cubuk et al., 2019).
    """

    policy: str = "imagenet"
    interpolation: str | int = "nearest"
    fill: Fill | None = None

    def __post_init__(self) -> None:
        set_warping(self)
        one_of("policy", self.policy, _POLICIES)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step | Paint]:
        pairs, canvas = _POLICIES[self.policy], _canvas(self, width, height)
        chosen = pairs[int(rng.integers(len(pairs)))]
        return joined(
            drawn(name, AUTO_SPACE[name], number, 10, canvas, rng)
            for name, probability, number in chosen
            if rng.random() < probability
        )


@dataclass(frozen=True)
class AugMix(Drawn):
    """Mixes the image with changed copies of itself, each made by a chain of operations.

    Args:
        severity: Magnitudes are drawn from the first `severity` of ten.
        mixture_width: The number of copies.
        chain_depth: The number of operations in a chain; -1 draws 1 to 3 for each chain.
        alpha: The parameter of the Dirichlet distributions from which the shares are drawn.
        all_ops: Whether brightness, contrast, colour and sharpness are among the operations.
        interpolation: "nearest", "bilinear" or "bicubic".
        fill: The value outside the image, one number or one for each channel; None is 0.

    The operations have Pillow's pixels; torchvision mixes tensors, whose pixels differ slightly.
    Masks, boxes and keypoints stay in place, as most of the image does.

    From "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty" (Hendrycks
    et al., 2020).
    """

    severity: int = 3
    mixture_width: int = 3
    chain_depth: int = -1
    alpha: float = 1.0
    all_ops: bool = True
    interpolation: str | int = "bilinear"
    fill: Fill | None = None

    def __post_init__(self) -> None:
        set_warping(self)
        int_between("severity", self.severity, 1, 10)
        positive_int("mixture_width", self.mixture_width)
        if self.chain_depth != -1:
            positive_int("chain_depth", self.chain_depth)
        if not is_number(self.alpha) or not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha must be above 0, not {self.alpha!r}")

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Paint]:
        canvas, space = (
            _canvas(self, width, height),
            MIX_SPACE if self.all_ops else PARTIAL_MIX_SPACE,
        )
        own, others = rng.dirichlet([self.alpha] * 2)
        shares = rng.dirichlet([self.alpha] * self.mixture_width) * others
        chains = []
        for _ in range(self.mixture_width):
            depth = int(rng.integers(1, 4)) if self.chain_depth == -1 else self.chain_depth
            steps = (
                drawn(*_one_of(space, rng), int(rng.integers(self.severity)), 10, canvas, rng)
                for _ in range(depth)
            )
            chains.append(tuple(joined(steps)))
        return [_Mixture(float(own), tuple(map(float, shares)), tuple(chains))]


@dataclass(frozen=True)
class _Mixture:
    """Mixes an image with copies that the `chains` of steps change. All shares add up to 1."""

    own: float
    shares: tuple[float, ...]
    chains: tuple[tuple[Step | Paint, ...], ...]

    def __call__(self, image: Image.Image) -> Image.Image:
        mixed = np.asarray(image) * np.float32(self.own)
        for share, chain in zip(self.shares, self.chains, strict=True):
            mixed += np.asarray(done(chain, image)) * np.float32(share)
        return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def _one_of(space: Space, rng: np.random.Generator) -> tuple[str, Any]:
    return list(space.items())[int(rng.integers(len(space)))]


def _canvas(policy: Any, width: int, height: int) -> Canvas:
    return Canvas((width, height), resampling(policy), filled(policy))


def _check_bins(count: int) -> None:
    if positive_int("num_magnitude_bins", count) < 2:
        raise ValueError(f"num_magnitude_bins must be 2 or more, not {count}")

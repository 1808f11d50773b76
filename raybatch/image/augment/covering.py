"""Changes that hide detail: an erased rectangle, and a blur."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.checks import is_number, pair
from raybatch.image.augment.chance import Occasional
from raybatch.image.augment.crop import scale_and_ratio
from raybatch.image.augment.transform import Drawn, Paint
from raybatch.image.view import Rectangle

_TRIES = 10


@dataclass(frozen=True)
class RandomErasing(Occasional):
    """Fill a random rectangle of the image with `value`, with the probability `p`.

    The rectangle has a random place. Its share of the image's area is uniform in `scale` (min,
    max), and the logarithm of its height / width is uniform between the logarithms of `ratio` (min,
    max). `value` is a level from 0 to 255, one for each channel, or "random" for random pixels.

    This works on bytes, before a layout normalises them. The mean colour, which a layout turns into
    0, is (124, 116, 104) for ImageNet. From "Random Erasing Data Augmentation" (Zhong et al.,
    2020).
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float | tuple[float, ...] | str = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        scale, ratio = scale_and_ratio(self.scale, self.ratio)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "ratio", ratio)
        if self.value == "random":
            return
        value: Any = self.value
        values = (value,) if is_number(value) else tuple(value)
        if not all(is_number(value) and 0 <= value <= 255 for value in values):
            raise ValueError(f'value must be from 0 to 255, or "random", not {self.value!r}')
        object.__setattr__(self, "value", values)

    def made(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Paint]:
        part = self.part(width, height, rng)
        if part is None:
            return []
        if self.value == "random":
            return [partial(_with_noise, part=part, seed=int(rng.integers(2**63)))]
        return [partial(_with_colour, part=part, values=tuple(map(int, self.value)))]  # type: ignore[arg-type]

    def part(self, width: int, height: int, rng: np.random.Generator) -> Rectangle | None:
        """Return the rectangle to erase: left, top, right, bottom, in pixels.

        Up to ten rectangles are drawn. If none of them is smaller than the image in both
        directions, the result is None, and nothing is erased.
        """
        low, high = map(math.log, self.ratio)
        for _ in range(_TRIES):
            area = width * height * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(low, high))
            part_height, part_width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if part_height < height and part_width < width:
                top = int(rng.integers(0, height - part_height, endpoint=True))
                left = int(rng.integers(0, width - part_width, endpoint=True))
                return left, top, left + part_width, top + part_height
        return None


@dataclass(frozen=True)
class GaussianBlur(Drawn):
    """Blur the image with a Gaussian kernel.

    `kernel_size` is an odd number, or a pair of them: the width and height of the kernel in pixels.
    The standard deviation, in pixels too, is uniform in `sigma`, (min, max), or is the one number
    given. The image is reflected at its edges. The pixels are torchvision's, except that one in
    some thousands is rounded the other way.
    """

    kernel_size: int | tuple[int, int]
    sigma: float | tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        given: Any = self.kernel_size
        sizes = (given, given) if is_number(given) else tuple(given)
        if len(sizes) != 2 or not all(
            isinstance(size, (int, np.integer)) and size > 0 and size % 2 for size in sizes
        ):
            raise ValueError(
                "kernel_size must be an odd number above 0, or a pair of them, not"
                f" {self.kernel_size!r}"
            )
        object.__setattr__(self, "kernel_size", sizes)
        sigma = (self.sigma, self.sigma) if is_number(self.sigma) else self.sigma
        low, high = sigma = pair("sigma", sigma)
        if not 0 < low <= high < math.inf:
            raise ValueError(f"sigma must be (min, max) with 0 < min ≤ max, not {self.sigma!r}")
        object.__setattr__(self, "sigma", sigma)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Paint]:
        sigma = rng.uniform(*self.sigma)  # type: ignore[misc]
        taps: Any = self.kernel_size
        return [partial(blurred, kernel_size=taps, sigma=sigma)]


def blurred(image: Image.Image, kernel_size: tuple[int, int], sigma: float) -> Image.Image:
    """Return `image` blurred with a Gaussian kernel of `kernel_size` (width, height).

    ValueError for an image smaller than half the kernel.
    """
    pixels = np.asarray(image)
    reach = kernel_size[0] // 2, kernel_size[1] // 2
    if reach[0] >= image.width or reach[1] >= image.height:
        raise ValueError(
            f"an image of {image.height} × {image.width} pixels (height × width) is too small for"
            f" kernel_size {kernel_size}"
        )
    edges = [(reach[1], reach[1]), (reach[0], reach[0]), (0, 0)][: pixels.ndim]
    padded = np.pad(pixels, edges, mode="reflect").astype(np.float32)
    rows = _summed(padded, _weights(kernel_size[1], sigma), axis=0)
    both = _summed(rows, _weights(kernel_size[0], sigma), axis=1)
    return Image.fromarray(np.rint(both, out=both).astype(np.uint8))


def _summed(
    pixels: npt.NDArray[np.float32], weights: npt.NDArray[np.float32], axis: int
) -> npt.NDArray[np.float32]:
    """Return the weighted sums of neighbours along `axis`.

    That axis gets shorter by `len(weights) - 1`.
    """
    last = len(weights) - 1
    kept = pixels.shape[axis] - last

    def shifted(by: int) -> npt.NDArray[np.float32]:
        return pixels[by : by + kept] if axis == 0 else pixels[:, by : by + kept]

    total: npt.NDArray[np.float32] = shifted(last // 2) * weights[last // 2]
    both = np.empty_like(total)
    for tap in range(last // 2):
        np.add(shifted(tap), shifted(last - tap), out=both)
        both *= weights[tap]
        total += both
    return total


def _weights(taps: int, sigma: float) -> npt.NDArray[np.float32]:
    weights = np.exp(-((np.arange(taps) - taps // 2) ** 2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum(), np.float32)


def _with_colour(image: Image.Image, part: Rectangle, values: tuple[int, ...]) -> Image.Image:
    bands = len(image.getbands())
    if len(values) not in (1, bands):
        raise ValueError(f"value has {len(values)} levels, but the image has {bands} channels")
    colour: Any = values if bands > 1 and len(values) > 1 else values * bands
    erased = image.copy()
    erased.paste(colour if bands > 1 else colour[0], part)
    return erased


def _with_noise(image: Image.Image, part: Rectangle, seed: int) -> Image.Image:
    left, top, right, bottom = part
    channels = () if len(image.getbands()) == 1 else (len(image.getbands()),)
    shape = bottom - top, right - left, *channels
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    erased = image.copy()
    if noise.size:
        erased.paste(Image.fromarray(noise), part)
    return erased

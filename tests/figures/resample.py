"""Microseconds to resample and lay out an image, with Pillow and NumPy or with the kernel.

usage: python -m tests.figures.resample DIR [--count 50] [--rounds 20]

The photographs in DIR are decoded first. The time is the thread's processor time from the decoded
image to the array. The two ways take turns, image by image, so a busy machine slows both alike. The
figures are the median and the minimum of all times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from raybatch.image import augment, resampling
from raybatch.image.augment.transform import changed
from raybatch.image.kernel import fault, usable_kernel
from raybatch.image.pixels import PixelLayout
from raybatch.image.viewed import InMemory
from raybatch.stores.listing import find_images

SIZE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAYOUTS = {
    "uint8 HWC": PixelLayout(),
    "uint8 CHW": PixelLayout(channels_first=True),
    "float32 HWC, mean and std": PixelLayout(mean=MEAN, std=STD),
    "float32 CHW, mean and std": PixelLayout(channels_first=True, mean=MEAN, std=STD),
}

Work = Callable[[Image.Image, np.random.Generator], Any]


def layout_work(layout: PixelLayout) -> Work:
    bound = layout.bound(np.dtype(np.uint8), (3,))
    out = np.empty(bound.shape(SIZE, SIZE), bound.dtype)
    resize = augment.Resize((SIZE, SIZE))

    def work(image: Image.Image, rng: np.random.Generator) -> Any:
        changed(InMemory(image), [resize], None).write(bound, out)
        return out

    return work


def crop_work(*, from_array: bool) -> Work:
    crop = augment.Compose([augment.RandomResizedCrop(SIZE), augment.RandomHorizontalFlip()])
    arrays: dict[int, Any] = {}

    def work(image: Image.Image, rng: np.random.Generator) -> Any:
        if not from_array:
            return np.asarray(crop(image, rng=rng))
        if id(image) not in arrays:
            arrays[id(image)] = np.asarray(image)
        return crop(arrays[id(image)], rng=rng)

    return work


def measure(name: str, work: Work, images: list[Image.Image], rounds: int) -> None:
    """Print the medians of Pillow and of the kernel, whose results must be equal."""
    times: dict[str, list[float]] = {"Pillow": [], "kernel": []}
    kernel = usable_kernel()
    for seed in range(rounds):
        for image in images:
            results = []
            for way, used in (("Pillow", None), ("kernel", kernel)):
                with mock.patch.object(resampling, "usable_kernel", lambda used=used: used):
                    if seed == 0:
                        work(image, np.random.default_rng(seed))  # a warm-up, which is not timed
                    rng = np.random.default_rng(seed)
                    start = time.thread_time()
                    result = work(image, rng)
                    times[way].append(time.thread_time() - start)
                results.append(np.array(result))
            np.testing.assert_array_equal(results[0], results[1], name)
    pillow, fast = (np.median(times[way]) * 1e6 for way in ("Pillow", "kernel"))
    best = {way: min(each) * 1e6 for way, each in times.items()}
    print(
        f"{name:28s} Pillow {pillow:5.0f} µs, kernel {fast:4.0f}: {pillow / fast:.1f} times as"
        f" fast; at best {best['Pillow']:5.0f} and {best['kernel']:4.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    images = []
    for path in find_images(str(arguments.folder))[: arguments.count]:
        with Image.open(path) as image:
            images.append(image.convert("RGB"))
    if reason := fault():
        raise SystemExit(f"there is no kernel: {reason}")
    for name, layout in LAYOUTS.items():
        measure(name, layout_work(layout), images, arguments.rounds)
    measure("crop and flip, image → array", crop_work(from_array=False), images, arguments.rounds)
    measure("crop and flip, array → array", crop_work(from_array=True), images, arguments.rounds)


if __name__ == "__main__":
    main()

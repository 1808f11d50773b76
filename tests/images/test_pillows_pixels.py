"""Changes of colour and warps have the pixels of Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from raybatch.image import augment, color_kernel, warp_kernel
from raybatch.image.augment import levels
from raybatch.image.augment.levels import Recolored
from raybatch.image.view import Warp

PIXELS = np.random.default_rng(0).integers(20, 220, size=(60, 90, 3), dtype=np.uint8)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def images() -> list[Image.Image]:
    noise = Image.fromarray(PIXELS)
    dull = noise.point([100 + level // 9 for level in range(256)] * 3)
    flat = Image.new("RGB", (17, 5), (200, 0, 9))
    full = Image.fromarray(rng().integers(0, 256, (60, 90, 3), np.uint8))
    made = [noise, full, dull, flat]
    small = ((1, 1), (2, 2), (3, 3), (1, 7), (7, 1), (16, 3), (31, 4))
    made += [noise.resize(size) for size in small]
    return made + [image.convert("L") for image in made]


PILLOWS: list[tuple[Any, Any, Any]] = [
    *(
        (
            levels.brightness,
            factor,
            lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
        )
        for factor in (0, 0.4, 1, 1.9, 1e9)
    ),
    *(
        (
            levels.contrast,
            factor,
            lambda image, factor: ImageEnhance.Contrast(image).enhance(factor),
        )
        for factor in (0, 0.4, 1, 1.9, 1e9)
    ),
    *(
        (levels.saturation, factor, lambda image, factor: ImageEnhance.Color(image).enhance(factor))
        for factor in (0, 0.4, 1, 1.9, 1e9)
    ),
    *(
        (
            levels.sharpness,
            factor,
            lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor),
        )
        for factor in (0, 0.4, 1, 1.9, 1e9)
    ),
    *((levels.posterize, bits, ImageOps.posterize) for bits in (1, 4, 8)),
    *((levels.solarize, threshold, ImageOps.solarize) for threshold in (0, 0.5, 128, 255, 256)),
    (levels.autocontrast, None, lambda image, _: ImageOps.autocontrast(image)),
    (levels.equalize, None, lambda image, _: ImageOps.equalize(image)),
    (levels.invert, None, lambda image, _: ImageOps.invert(image)),
    (levels.grayscale, None, lambda image, _: image.convert("L").convert(image.mode)),
]


@pytest.mark.parametrize("with_kernel", [True, False])
def test_changes_of_colour_have_pillows_pixels(
    with_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_kernel:
        monkeypatch.setattr(color_kernel, "_usable_library", lambda: None)
    for image in images():
        for change, amount, by_pillow in PILLOWS:
            made = Recolored(((change, amount),))(image)
            assert made.mode == image.mode
            wanted = by_pillow(image, amount)
            np.testing.assert_array_equal(
                np.asarray(made), np.asarray(wanted), err_msg=f"{change} {amount}"
            )


def test_several_changes_are_one_table_with_the_pixels_of_one_after_the_other() -> None:
    draws = rng()
    for image in images():
        for _ in range(40):
            chosen = [PILLOWS[number] for number in draws.integers(len(PILLOWS), size=3)]
            wanted = image
            for _, amount, by_pillow in chosen:
                wanted = by_pillow(wanted, amount)
            made = Recolored(tuple((change, amount) for change, amount, _ in chosen))(image)
            np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted), err_msg=str(chosen))


def test_a_hue_is_shifted_as_pillow_shifts_it_for_every_colour() -> None:
    if color_kernel._usable_library() is None:
        pytest.skip("there is no kernel")
    # Every sixth level of each channel, and the levels at its ends and in its middle.
    some = np.unique(np.append(np.arange(0, 256, 6), [1, 127, 128, 254, 255])).astype(np.uint8)
    colours = np.stack(np.meshgrid(some, some, some), axis=-1).reshape(len(some), -1, 3)
    image = Image.fromarray(colours)
    for shift in (-0.5, -0.2, -0.004, 0.0, 0.004, 0.1, 1 / 3, 0.5):
        made = np.asarray(color_kernel.hue_shifted(image, shift))
        wanted = np.asarray(color_kernel._hue_shifted_by_pillow(image, int(shift * 255)))
        np.testing.assert_array_equal(made, wanted)


def test_a_kernel_with_other_pixels_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    if color_kernel._usable_library() is None:
        pytest.skip("there is no kernel")
    monkeypatch.setattr(
        color_kernel, "_hue_shifted_by_pillow", lambda image, steps: ImageOps.invert(image)
    )
    assert color_kernel._usable_library.__wrapped__() is None


def test_bilinear_warps_have_pillows_pixels() -> None:
    if warp_kernel._usable_library() is None:
        pytest.skip("there is no kernel")
    draws = rng()
    for image in images():
        for _ in range(12):
            coefficients = draws.uniform(-1.5, 1.5, 6)
            coefficients[2::3] = draws.uniform(-0.5, 1.0, 2) * image.size
            # Some perspectives have a depth of 0 or less within the image.
            depths = draws.uniform(-2, 2, 2) / image.size
            result = int(draws.integers(1, 150)), int(draws.integers(1, 70))
            for of_warp in (coefficients, np.append(coefficients, depths)):
                warp = Warp(result, tuple(of_warp.tolist()), Image.Resampling.BILINEAR, 77)
                made, wanted = warp_kernel.warped(image, warp), warp_kernel._by_pillow(image, warp)
                np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted))
    for whole in ((1, 0, 0, 0, 1, 0), (1, 0, 0.5, 0, 1, 0.5), (-1, 0, 90, 0, -1, 60)):
        warp = Warp((90, 60), whole, Image.Resampling.BILINEAR)
        image = Image.fromarray(PIXELS)
        made, wanted = warp_kernel.warped(image, warp), warp_kernel._by_pillow(image, warp)
        np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted))


@pytest.mark.parametrize("angle", [0, 30, 90, 180, 270, 200.5, -45])
@pytest.mark.parametrize("expand", [False, True])
def test_a_rotation_is_pillows(angle: float, expand: bool) -> None:
    for size in ((90, 60), (60, 60)):
        image = Image.fromarray(PIXELS).resize(size)
        for name in ("nearest", "bilinear", "bicubic"):
            change = augment.RandomRotation((angle, angle), name, expand, fill=(1, 2, 3))
            resample = Image.Resampling[name.upper()]
            wanted = image.rotate(angle, resample, expand, fillcolor=(1, 2, 3))
            made = change(image, rng=rng())
            np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted))

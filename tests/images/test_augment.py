"""Random crops, flips and colour jitter: their draws, their pixels, and refused settings."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

import raybatch as rb
from raybatch.image import augment
from raybatch.image.augment.own_numbers import own_generator

PIXELS = np.random.default_rng(0).integers(0, 256, size=(60, 90, 3), dtype=np.uint8)
GREY = PIXELS[:, :, 0].copy()
# The same module without types, so that mypy accepts arguments of wrong types.
WRONG: Any = augment
TRANSFORMS: list[augment.Transform] = [
    augment.RandomResizedCrop(32),
    augment.RandomResizedCrop((20, 40), interpolation="bicubic"),
    augment.RandomHorizontalFlip(),
    augment.RandomVerticalFlip(p=0.9),
    augment.ColorJitter(0.4, 0.4, 0.4, 0.1),
    augment.Compose([augment.RandomResizedCrop(16), augment.RandomHorizontalFlip()]),
]


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_the_result_is_a_function_of_image_and_generator(transform: Any) -> None:
    copy = pickle.loads(pickle.dumps(transform))
    for image in (PIXELS, GREY):
        first = transform(image, rng=rng())
        assert first.dtype == np.uint8
        assert first.ndim == image.ndim
        np.testing.assert_array_equal(copy(image, rng=rng()), first)
        from_pillow = transform(Image.fromarray(image), rng=rng())
        assert isinstance(from_pillow, Image.Image)
        np.testing.assert_array_equal(np.asarray(from_pillow), first)
    assert any(
        not np.array_equal(transform(PIXELS, rng=rng(seed)), transform(PIXELS, rng=rng()))
        for seed in range(2, 12)
    )


def test_a_crop_is_pillows_resize_of_the_box_that_was_drawn() -> None:
    crop = augment.RandomResizedCrop((20, 40), interpolation="lanczos")
    box = crop.box(90, 60, own_generator(rng()))
    expected = Image.fromarray(PIXELS).resize((40, 20), Image.Resampling.LANCZOS, box=box)
    np.testing.assert_array_equal(crop(PIXELS, rng=rng()), np.asarray(expected))


def test_boxes_lie_in_the_image_and_have_the_areas_and_shapes_asked_for() -> None:
    crop, draws = augment.RandomResizedCrop(32, scale=(0.2, 0.8), ratio=(0.5, 2.0)), rng()
    boxes = np.array([crop.box(900, 700, draws) for _ in range(3000)])
    left, top, right, bottom = boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 900).all()
    assert (bottom <= 700).all()
    area = (right - left) * (bottom - top) / (900 * 700)
    ratio = (right - left) / (bottom - top)
    assert 0.19 < area.min() < 0.22
    assert 0.75 < area.max() < 0.81
    assert 0.49 < ratio.min() < 0.53
    assert 1.9 < ratio.max() < 2.02
    # Places and shapes are evenly distributed. If all boxes fitted, the mean log ratio would be 0.
    assert abs(np.log(ratio).mean()) < 0.1
    assert abs((left + right).mean() / 2 - 450) < 15


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((1000, 10), (493, 0, 506, 10)),
        ((10, 1000), (0, 493, 10, 506)),
        ((100, 100), (0, 0, 100, 100)),
    ],
)
def test_if_no_box_fits_it_is_the_largest_in_the_middle(
    size: tuple[int, int], box: tuple[int, ...]
) -> None:
    crop = augment.RandomResizedCrop(8, scale=(1.0, 1.0), ratio=(3 / 4, 4 / 3))
    if size == (100, 100):
        crop = augment.RandomResizedCrop(8, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert crop.box(*size, rng()) == box


def test_an_image_smaller_than_the_crop_is_enlarged() -> None:
    assert augment.RandomResizedCrop(64)(PIXELS[:2, :3], rng=rng()).shape == (64, 64, 3)


def test_flips_come_as_often_as_asked_and_are_exact() -> None:
    draws = rng()
    for transform, flipped in (
        (augment.RandomHorizontalFlip(p=0.3), PIXELS[:, ::-1]),
        (augment.RandomVerticalFlip(p=0.3), PIXELS[::-1]),
    ):
        results = [transform(PIXELS, rng=draws) for _ in range(1000)]
        count = sum(np.array_equal(result, flipped) for result in results)
        assert 250 < count < 350
        assert all(
            np.array_equal(result, flipped) or np.array_equal(result, PIXELS) for result in results
        )


@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_a_fixed_factor_is_pillows_enhancement(name: str, enhance: Any) -> None:
    jitter = augment.ColorJitter(**{name: (1.5, 1.5)})
    expected = enhance(Image.fromarray(PIXELS)).enhance(1.5)
    np.testing.assert_array_equal(jitter(PIXELS, rng=rng()), np.asarray(expected))


def test_a_hue_is_shifted_around_the_circle() -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    shifted = augment.ColorJitter(hue=(1 / 3, 1 / 3))(red, rng=rng())
    assert shifted[0, 0, 1] > 190
    assert shifted[0, 0, 0] < 10
    np.testing.assert_array_equal(augment.ColorJitter(hue=0.5)(GREY, rng=rng()), GREY)


def test_factors_stay_in_their_range() -> None:
    jitter, draws = augment.ColorJitter(brightness=0.4), rng()
    grey = np.full((2, 2), 100, np.uint8)
    levels = [int(jitter(grey, rng=draws)[0, 0]) for _ in range(1000)]
    assert (min(levels), max(levels)) in {(60, 139), (60, 140), (61, 139)}


def test_what_changes_nothing_leaves_the_image() -> None:
    for transform in (
        augment.ColorJitter(),
        augment.RandomHorizontalFlip(p=0),
        augment.Compose([]),
    ):
        np.testing.assert_array_equal(transform(PIXELS, rng=rng()), PIXELS)
    before = PIXELS.copy()
    for changing in TRANSFORMS:
        changing(PIXELS, rng=rng())
    np.testing.assert_array_equal(PIXELS, before)


def test_a_source_is_augmented_sample_by_sample() -> None:
    def fn(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        return TRANSFORMS[5](x, rng=rng), y

    images = np.stack([PIXELS] * 6)
    source = rb.ArrayDataSource([images, np.arange(6)]).map_samples(fn)
    (whole,) = source.batch_iterator(6)
    assert whole[0].shape == (6, 16, 16, 3)
    parts = list(rb.Loader(source, 4))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), whole[0])
    assert not np.array_equal(whole[0][0], whole[0][1])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: augment.RandomResizedCrop(0), ValueError, "not 0"),
        (lambda: WRONG.RandomResizedCrop("32"), TypeError, "'32'"),
        (lambda: augment.RandomResizedCrop(8, scale=(0.5, 0.1)), ValueError, "scale"),
        (lambda: augment.RandomResizedCrop(8, ratio=(0, 1)), ValueError, "ratio"),
        (lambda: augment.RandomResizedCrop(8, ratio=(1, math.inf)), ValueError, "ratio"),
        (lambda: augment.RandomResizedCrop(8, interpolation="cubic"), ValueError, "'cubic'"),
        (lambda: augment.RandomHorizontalFlip(p=1.5), ValueError, r"1\.5"),
        (lambda: WRONG.RandomVerticalFlip(p="often"), TypeError, "'often'"),
        (lambda: augment.ColorJitter(brightness=-1), ValueError, "brightness"),
        (lambda: augment.ColorJitter(contrast=(2, 1)), ValueError, "contrast"),
        (lambda: augment.ColorJitter(hue=0.6), ValueError, "hue"),
        (lambda: augment.ColorJitter(hue=(-0.7, 0)), ValueError, "hue"),
        (lambda: WRONG.Compose(3), TypeError, "list of transforms, not 3"),
        (lambda: WRONG.Compose([3]), TypeError, "functions"),
    ],
)
def test_wrong_settings_are_refused_where_they_are_given(
    make: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (PIXELS.astype(float), TypeError),
        ([[1, 2]], TypeError),
        (PIXELS[..., :2], ValueError),
        (PIXELS[0, 0], ValueError),
    ],
)
def test_what_is_no_image_is_refused(image: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        augment.RandomHorizontalFlip()(image, rng=rng())


@pytest.mark.parametrize("image", [PIXELS, GREY])
@pytest.mark.parametrize("padding", [0, 3])
def test_a_crop_has_its_size_and_every_place(image: Any, padding: int) -> None:
    height, width = image.shape[0] - 2, image.shape[1] - 1
    crop = augment.RandomCrop((height, width), padding=padding, fill=7)
    edges = [(padding, padding)] * 2 + [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, edges, constant_values=7)
    draws, seen = rng(), set()
    for _ in range(1000):
        part = crop(image, rng=draws)
        assert part.shape == (height, width, *image.shape[2:])
        places = [
            (top, left)
            for top in range(3 + 2 * padding)
            for left in range(2 + 2 * padding)
            if np.array_equal(part, padded[top : top + height, left : left + width])
        ]
        assert places
        seen.update(places)
    assert len(seen) == (3 + 2 * padding) * (2 + 2 * padding)


def test_a_crop_of_an_array_copies_nothing() -> None:
    part = augment.RandomCrop(8)(PIXELS, rng=rng())
    assert np.shares_memory(part, PIXELS)
    assert augment.RandomCrop(PIXELS.shape[0])(PIXELS, rng=rng()).shape[0] == PIXELS.shape[0]


def inverted_image(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.invert(image)


@pytest.mark.parametrize(
    "transform",
    [
        augment.RandomCrop((9, 8)),
        augment.RandomCrop(12, padding=4, fill=9),
        augment.RandomHorizontalFlip(),
        augment.RandomVerticalFlip(),
        augment.Compose([augment.RandomCrop(9), augment.RandomHorizontalFlip()]),
        augment.Compose([augment.RandomCrop(9), inverted_image, augment.RandomVerticalFlip()]),
        augment.Compose(
            [augment.RandomCrop(9), augment.ColorJitter(0.5), augment.RandomVerticalFlip()]
        ),
    ],
)
@pytest.mark.parametrize("image", [PIXELS, GREY])
def test_arrays_and_images_get_the_same_pixels(image: Any, transform: Any) -> None:
    for seed in range(20):
        of_array = transform(image, rng=rng(seed))
        of_image = transform(Image.fromarray(image), rng=rng(seed))
        assert isinstance(of_image, Image.Image)
        assert (of_array.flags.writeable, min(of_array.strides) > 0) == (True, True)
        np.testing.assert_array_equal(of_array, np.asarray(of_image))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "1 or more pixels, not 0"),
        ({"size": 8, "padding": -1}, ValueError, "padding must be 0 or more, not -1"),
        ({"size": 8, "padding": 1.5}, TypeError, r"padding must be an integer, or .* not 1\.5"),
        ({"size": 8, "padding": (1, 2, 3)}, TypeError, r"two or four of them, not \(1, 2, 3\)"),
        ({"size": 8, "pad_if_needed": 7}, TypeError, "pad_if_needed must be True or False, not 7"),
        ({"size": 8, "padding_mode": "wrap"}, ValueError, "padding_mode must be one of 'constant'"),
        ({"size": 8, "fill": 256}, ValueError, r"fill must be from 0 to 255, .* not 256"),
    ],
)
def test_wrong_settings_of_a_crop(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        augment.RandomCrop(**arguments)
    with pytest.raises(ValueError, match="is smaller than the crop of 1000 × 1000"):
        augment.RandomCrop(1000)(PIXELS, rng=rng())

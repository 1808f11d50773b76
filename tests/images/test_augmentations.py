"""Augmentations: draws, masks, erasing, blurs, policies and refused settings."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raybatch.image import augment
from raybatch.image.augment import levels, operations
from raybatch.image.augment.levels import Recolored
from raybatch.image.augment.own_numbers import own_generator
from raybatch.image.view import Warp

PIXELS = np.random.default_rng(0).integers(20, 220, size=(60, 90, 3), dtype=np.uint8)
GREY = PIXELS[:, :, 0].copy()
WRONG: Any = augment

EVERY: list[Any] = [
    augment.RandAugment(),
    augment.RandAugment(4, 30, interpolation="bicubic", fill=7),
    augment.TrivialAugmentWide(),
    augment.AutoAugment(fill=200),
    augment.AugMix(),
    augment.AugMix(10, 2, 1, 0.3, all_ops=False),
    augment.RandomErasing(p=1),
    augment.RandomErasing(p=1, value="random"),
    augment.GaussianBlur((5, 3)),
    augment.RandomGrayscale(p=1),
    augment.RandomAffine(30, (0.1, 0.3), (0.5, 2), 20, "bilinear", 99),
    augment.RandomRotation((10, 80), expand=True, center=(3, 4)),
    augment.RandomPerspective(p=1),
    augment.RandomAdjustSharpness(2, p=1),
    augment.RandomPosterize(3, p=1),
    augment.RandomSolarize(90, p=1),
    augment.RandomEqualize(p=1),
    augment.RandomAutocontrast(p=1),
    augment.RandomInvert(p=1),
    augment.RandomApply([augment.RandomCrop(20), augment.RandomInvert()], p=0.7),
    augment.RandomChoice([augment.RandomCrop(20), augment.RandomGrayscale(1)], p=[1, 3]),
]


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def told(step: Any) -> Any:
    """Return a description of `step`, with numbers rounded to be the same on every machine."""
    if isinstance(step, Recolored):
        return [
            (change.__name__, None if amount is None else round(amount, 6))
            for change, amount in step.changes
        ]
    if isinstance(step, Warp):
        return step.size, [round(value, 4) + 0.0 for value in step.coefficients], int(step.resample)
    if isinstance(step, partial):
        return {
            key: np.round(value, 6).tolist()
            for key, value in step.keywords.items()
            if key != "seed"
        }
    return step


def drawn(change: Any) -> list[Any]:
    return [told(step) for step in change.steps(90, 60, rng(5))]


GOLDEN: list[tuple[Any, Any]] = [
    (augment.RandAugment(), [[("sharpness", 1.27), ("solarize", 178.499997)]]),
    (augment.TrivialAugmentWide(), [[("sharpness", 1.792)]]),
    (augment.AutoAugment(), [[("solarize", 56.666667)]]),
    (augment.RandomErasing(p=1), [{"part": [15, 13, 53, 52], "values": [0]}]),
    (augment.GaussianBlur(5), [{"kernel_size": [5, 5], "sigma": 1.629506}]),
    (
        augment.RandomAffine(30, (0.1, 0.3), (0.5, 2), 20),
        [((90, 60), [1.1311, 0.009, -12.9683, -0.3381, 1.0223, 15.5515], 0)],
    ),
    (
        augment.RandomRotation(80, expand=True),
        [((106, 108), [0.6587, -0.7524, 50.7205, 0.7524, 0.6587, -45.4472], 0)],
    ),
    (
        augment.RandomPerspective(p=1),
        [((90, 60), [1.2985, -0.8927, 10.7124, 0.0626, 1.2042, -14.4507, 0.003, -0.0089], 2)],
    ),
    (
        augment.ColorJitter(0.4, 0.4, 0.4, 0.1),
        [
            [
                ("hue", 0.003065),
                ("contrast", 0.828641),
                ("saturation", 0.643145),
                ("brightness", 0.906695),
            ]
        ],
    ),
    (
        augment.RandomChoice([augment.RandomInvert(1), augment.RandomGrayscale(1)]),
        [[("grayscale", None)]],
    ),
]


@pytest.mark.parametrize(("change", "wanted"), GOLDEN, ids=repr)
def test_a_seed_has_the_draws_that_it_always_had(change: Any, wanted: Any) -> None:
    assert drawn(change) == wanted


@pytest.mark.parametrize("change", EVERY, ids=repr)
def test_the_result_is_a_function_of_image_and_generator(change: Any) -> None:
    copy = pickle.loads(pickle.dumps(change))
    assert copy == change
    before = PIXELS.copy(), GREY.copy()
    for image in (PIXELS, GREY):
        results = []
        for seed in range(5):
            made = change(image, rng=rng(seed))
            assert made.dtype == np.uint8
            assert made.ndim == image.ndim
            np.testing.assert_array_equal(copy(image, rng=rng(seed)), made)
            from_pillow = change(Image.fromarray(image), rng=rng(seed))
            np.testing.assert_array_equal(np.asarray(from_pillow), made)
            results.append(made)
        if image is PIXELS:
            assert any(not np.array_equal(made, image) for made in results)
    np.testing.assert_array_equal(PIXELS, before[0])
    np.testing.assert_array_equal(GREY, before[1])


def test_no_bits_are_black_and_no_other_mode_is_taken() -> None:
    assert not augment.RandomPosterize(0, p=1)(PIXELS, rng=rng()).any()
    for change in (augment.RandomInvert(1), augment.ColorJitter(0.5), augment.RandomEqualize(1)):
        with pytest.raises(ValueError, match="mode RGB or L, not CMYK"):
            change(Image.new("CMYK", (8, 8)), rng=rng())


OCCASIONAL: list[Any] = [
    partial(augment.RandomErasing, value=3),
    augment.RandomGrayscale,
    augment.RandomInvert,
    augment.RandomAutocontrast,
    augment.RandomEqualize,
    partial(augment.RandomPosterize, 2),
    partial(augment.RandomSolarize, 100),
    partial(augment.RandomAdjustSharpness, 3),
    partial(augment.RandomPerspective, 0.6),
    partial(augment.RandomApply, [augment.RandomInvert(1)]),
]


@pytest.mark.parametrize("make", OCCASIONAL)
def test_a_change_is_made_as_often_as_asked(make: Any) -> None:
    image = Image.fromarray(PIXELS)
    draws = rng()
    assert all(make(p=0)(image, rng=draws) is image for _ in range(20))
    assert all(make(p=1).steps(90, 60, draws) for _ in range(20))
    counted = sum(bool(make(p=0.3).steps(90, 60, draws)) for _ in range(1000))
    assert 240 < counted < 360


def test_an_affine_change_moves_and_scales_as_said() -> None:
    change = augment.RandomAffine(0, translate=(0.5, 0), fill=9)
    for seed in range(20):
        (step,) = change.steps(90, 60, own_generator(rng(seed)))
        assert isinstance(step, Warp)
        moved = -int(step.coefficients[2])
        assert abs(moved) <= 45
        shifted = np.full_like(PIXELS, 9)
        shifted[:, max(moved, 0) : 90 + min(moved, 0)] = PIXELS[
            :, max(-moved, 0) : 90 - max(moved, 0)
        ]
        np.testing.assert_array_equal(change(PIXELS, rng=rng(seed)), shifted)
    half = augment.RandomAffine(0, scale=(0.5, 0.5))(PIXELS, rng=rng())
    # The middle is at (45, 30), so the pixel at (x, y) comes from (2x - 44, 2y - 29).
    np.testing.assert_array_equal(half[15:45, 22:67], PIXELS[1::2, ::2])
    half[15:45, 22:67] = 0
    assert not half.any()
    np.testing.assert_array_equal(augment.RandomAffine(0)(PIXELS, rng=rng()), PIXELS)


@pytest.mark.parametrize(
    "change",
    [
        augment.RandomRotation(170, expand=True),
        augment.RandomAffine(40, (0.2, 0.2), (0.5, 2), (-20, 20, -20, 20)),
        augment.RandomPerspective(0.9, p=0.8, interpolation="nearest"),
        augment.RandomApply([augment.RandomRotation(90), augment.RandomCrop(30)]),
        augment.RandomChoice([augment.RandomRotation(90), augment.RandomHorizontalFlip(1)]),
    ],
    ids=repr,
)
def test_an_image_that_is_its_own_mask_stays_it(change: Any) -> None:
    for seed in range(40):
        image, mask = change(GREY, mask=GREY, mask_fill=0, rng=rng(seed))
        np.testing.assert_array_equal(mask, image)


def test_policies_move_a_mask_with_the_image_and_do_not_colour_it() -> None:
    shape = np.tile(np.arange(90, dtype=np.uint8) // 30, (60, 1))
    for change in (augment.RandAugment(3, 20), augment.TrivialAugmentWide(), augment.AutoAugment()):
        moved = 0
        for seed in range(60):
            image, mask = change(shape * 80 + 40, mask=shape, mask_fill=9, rng=rng(seed))
            assert image.shape == mask.shape
            assert set(np.unique(mask)) <= {0, 1, 2, 9}
            moved += not np.array_equal(mask, shape)
        assert 5 < moved < 60


def test_what_is_erased_lies_within_and_the_rest_stays() -> None:
    for value in (7, (1, 2, 3), "random"):
        change = augment.RandomErasing(p=1, scale=(0.1, 0.5), value=value)
        for seed in range(30):
            erased = change(PIXELS, rng=rng(seed))
            rows, columns = np.nonzero((erased != PIXELS).any(axis=2))
            part = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
            outside = np.ones((60, 90), bool)
            outside[part] = False
            assert outside.any()
            np.testing.assert_array_equal(erased[outside], PIXELS[outside])
            if value == "random":
                assert len(np.unique(erased[part].reshape(-1, 3), axis=0)) > 1
            else:
                assert (erased[part] == np.array(value)).all()
            assert 0.05 < len(rows) / (60 * 90) < 0.52
    with pytest.raises(ValueError, match="value has 3 levels, but the image has 1 channels"):
        augment.RandomErasing(p=1, value=(1, 2, 3))(GREY, rng=rng())
    # A rectangle as large as the image is not erased.
    whole = augment.RandomErasing(p=1, scale=(1.0, 1.0), ratio=(60 / 90, 60 / 90))
    np.testing.assert_array_equal(whole(PIXELS, rng=rng()), PIXELS)


def test_a_blur_keeps_what_is_flat_and_spreads_a_point() -> None:
    flat = np.full((9, 9, 3), 77, np.uint8)
    np.testing.assert_array_equal(augment.GaussianBlur(5)(flat, rng=rng()), flat)
    point = np.zeros((9, 9), np.uint8)
    point[4, 4] = 255
    spread = augment.GaussianBlur((3, 1), 100.0)(point, rng=rng())
    np.testing.assert_array_equal(spread[4, 3:6], [85, 85, 85])
    assert spread.sum() == 255
    with pytest.raises(ValueError, match=r"9 × 9 pixels .* too small for kernel_size \(19, 3\)"):
        augment.GaussianBlur((19, 3))(point, rng=rng())


def test_policies_draw_every_operation_of_their_space_at_either_sign() -> None:
    draws = rng()
    policy = augment.TrivialAugmentWide()
    steps = [step for _ in range(8000) for step in policy.steps(90, 60, draws)]
    recolored = [step.changes[0] for step in steps if isinstance(step, Recolored)]
    assert {change for change, _ in recolored} == {
        *(levels.brightness, levels.contrast, levels.saturation, levels.sharpness),
        *(levels.posterize, levels.solarize, levels.autocontrast, levels.equalize),
    }
    for change in (levels.brightness, levels.contrast, levels.saturation, levels.sharpness):
        factors = [factor for made, factor in recolored if made is change]
        assert (min(factors), max(factors)) == pytest.approx((0.01, 1.99))
    assert {step.coefficients[2] for step in steps if isinstance(step, Warp)} > {-32.0, 32.0}
    assert augment.RandAugment(0).steps(90, 60, draws) == []


def test_several_operations_on_levels_are_one_step() -> None:
    recolored = operations.joined(
        [Recolored(((levels.invert, None),)), Recolored(()), Recolored(((levels.posterize, 3),))]
    )
    assert recolored == [Recolored(((levels.invert, None), (levels.posterize, 3)))]


def test_a_mixture_lies_between_the_image_and_its_chains() -> None:
    flat = np.full((8, 8, 3), 100, np.uint8)
    made = augment.AugMix(severity=1)(flat, rng=rng())
    assert made.shape == flat.shape
    (mixture,) = augment.AugMix(mixture_width=4).steps(90, 60, rng())
    assert len(mixture.chains) == len(mixture.shares) == 4  # type: ignore[attr-defined]
    assert mixture.own + sum(mixture.shares) == pytest.approx(1)  # type: ignore[attr-defined]
    assert all(len(chain) <= 3 for chain in mixture.chains)  # type: ignore[attr-defined]


def test_sizes_are_known_where_all_ways_lead_to_one() -> None:
    crop, flip = augment.RandomCrop(20), augment.RandomHorizontalFlip()
    assert augment.RandomApply([flip]).output_size((60, 90)) == (60, 90)
    assert augment.RandomApply([crop]).output_size((60, 90)) is None
    assert augment.RandomApply([crop], p=1).output_size(None) == (20, 20)
    assert augment.RandomApply([crop], p=0).output_size((60, 90)) == (60, 90)
    assert augment.RandomChoice([crop, augment.CenterCrop(20)]).output_size(None) == (20, 20)
    assert augment.RandomChoice([crop, flip]).output_size((60, 90)) is None
    assert augment.RandomRotation(9, expand=True).output_size((60, 90)) is None
    assert augment.RandomRotation(9).output_size((60, 90)) == (60, 90)


def test_a_choice_is_drawn_with_its_probabilities_and_takes_plain_functions() -> None:
    def black(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.point(lambda level: 0)

    change, draws = augment.RandomChoice([black, augment.RandomInvert(0)], p=[1, 3]), rng()
    dark = sum(not change(PIXELS, rng=draws).any() for _ in range(400))
    assert 70 < dark < 130
    even = augment.RandomChoice([black, augment.RandomInvert(0)])
    assert 160 < sum(not even(PIXELS, rng=draws).any() for _ in range(400)) < 240


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: augment.RandAugment(num_ops=-1), ValueError, "num_ops"),
        (lambda: augment.RandAugment(magnitude=31), ValueError, "from 0 to 30, not 31"),
        (lambda: augment.RandAugment(interpolation="lanczos"), ValueError, "'lanczos'"),
        (lambda: augment.RandAugment(fill=256), ValueError, "fill must be from 0 to 255"),
        (lambda: augment.TrivialAugmentWide(1), ValueError, "2 or more, not 1"),
        (lambda: augment.AutoAugment("cifar"), ValueError, "'imagenet', not 'cifar'"),
        (lambda: augment.AugMix(severity=11), ValueError, "from 1 to 10, not 11"),
        (lambda: augment.AugMix(alpha=0), ValueError, "alpha must be above 0, not 0"),
        (lambda: augment.AugMix(chain_depth=0), ValueError, "chain_depth"),
        (lambda: augment.RandomErasing(p=2), ValueError, "p must be from 0 to 1, not 2"),
        (lambda: augment.RandomErasing(scale=(0.5, 0.1)), ValueError, "scale"),
        (lambda: augment.RandomErasing(value="noise"), ValueError, "'noise'"),
        (lambda: augment.RandomErasing(value=300), ValueError, "300"),
        (
            lambda: augment.GaussianBlur(4),
            ValueError,
            "an odd number above 0, or a pair of them, not 4",
        ),
        (lambda: augment.GaussianBlur(3, 0), ValueError, "sigma"),
        (
            lambda: augment.RandomRotation(-3),
            ValueError,
            "degrees must be .* a number of 0 or more",
        ),
        (lambda: augment.RandomRotation((3, 1)), ValueError, "min ≤ max"),
        (lambda: WRONG.RandomRotation("3"), TypeError, "degrees must be"),
        (lambda: augment.RandomAffine(0, translate=(2, 0)), ValueError, "translate"),
        (lambda: augment.RandomAffine(0, scale=(0, 1)), ValueError, "scale"),
        (lambda: WRONG.RandomAffine(0, shear=(1, 2, 3)), TypeError, "shear"),
        (lambda: WRONG.RandomAffine(0, center=3), TypeError, "center"),
        (lambda: augment.RandomPerspective(1.5), ValueError, r"distortion_scale .* not 1\.5"),
        (lambda: augment.RandomPosterize(9), ValueError, "bits must be from 0 to 8, not 9"),
        (lambda: augment.RandomPosterize(-1), ValueError, "bits"),
        (lambda: augment.RandomSolarize(-1), ValueError, "threshold"),
        (lambda: augment.RandomAdjustSharpness(-1), ValueError, "sharpness_factor"),
        (
            lambda: WRONG.RandomApply(3),
            TypeError,
            "RandomApply takes a list of transforms, not 3: write",
        ),
        (
            lambda: WRONG.Compose(augment.RandomInvert(), augment.RandomInvert()),
            TypeError,
            r"takes one list of transforms, not 2 arguments: write Compose\(\[\.\.\.\]\)",
        ),
        (
            lambda: WRONG.Compose(augment.RandomInvert()),
            TypeError,
            r"takes a list of transforms, not RandomInvert\(.*\): write Compose\(",
        ),
        (lambda: augment.RandomApply([]), ValueError, "at least one"),
        (lambda: WRONG.RandomChoice([3]), TypeError, "functions, not 3"),
        (lambda: augment.RandomChoice([augment.RandomInvert()], p=[1, 2]), ValueError, "2 values"),
        (lambda: augment.RandomChoice([augment.RandomInvert()], p=[0]), ValueError, "not all 0"),
        (lambda: augment.MixUp(alpha=0), ValueError, "alpha"),
        (lambda: augment.MixUp(num_classes=0), ValueError, "num_classes"),
        (lambda: augment.CutMix(labels_getter="y"), TypeError, "'y'"),
    ],
)
def test_wrong_settings_are_refused_where_they_are_given(
    make: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()

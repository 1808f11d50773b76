"""Augmentations compared with torchvision's: equal pixels, and equally distributed draws.

If torchvision is installed, run them with
`pytest -m torchvision tests/images/test_torchvision.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raybatch.image import augment
from raybatch.image.augment import levels, operations, policies
from raybatch.image.augment.covering import blurred
from raybatch.image.augment.operations import Canvas, done
from raybatch.image.augment.own_numbers import own_generator
from raybatch.image.augment.warping import affine, perspective, rotation
from raybatch.image.resampling import RESAMPLING
from raybatch.image.view import Warp
from raybatch.image.warp_kernel import warped

pytestmark = pytest.mark.torchvision
torch = pytest.importorskip("torch", reason="compares with torchvision")
pytest.importorskip("torchvision", reason="compares with torchvision")
v2: Any = pytest.importorskip("torchvision.transforms.v2")
F: Any = pytest.importorskip("torchvision.transforms.v2.functional")

DRAWS = 2000


def images() -> dict[str, Image.Image]:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), np.uint8))
    smooth = coarse.resize((90, 70), Image.Resampling.BICUBIC)
    noise = Image.fromarray(rng.integers(0, 256, (70, 90, 3), np.uint8))
    dull = smooth.point([90 + level // 4 for level in range(256)] * 3)
    flat = Image.new("RGB", (70, 70), (10, 200, 30))
    return {
        "smooth": smooth,
        "noise": noise,
        "dull": dull,
        "flat": flat,
        "grey": smooth.convert("L"),
        "tiny": noise.crop((0, 0, 2, 2)),
    }


IMAGES = images()
SPACES = {
    "AutoAugment": operations.AUTO_SPACE,
    "RandAugment": operations.RANDOM_SPACE,
    "TrivialAugmentWide": operations.WIDE_SPACE,
    "AugMix": operations.MIX_SPACE,
}


def assert_same(made: Image.Image, wanted: Image.Image, *what: Any) -> None:
    assert made.mode == wanted.mode
    np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted), err_msg=str(what))


def mode_of(name: str) -> Any:
    return v2.InterpolationMode(name)


@pytest.mark.parametrize("policy", SPACES)
@pytest.mark.parametrize("count", [10, 31])
def test_spaces_are_torchvisions(policy: str, count: int) -> None:
    theirs = getattr(v2, policy)._AUGMENTATION_SPACE
    ours = SPACES[policy]
    assert set(theirs) == set(ours)
    for name, (magnitudes, is_signed) in theirs.items():
        for width, height in ((224, 224), (331, 97), (500, 375)):
            wanted, extent = magnitudes(count, height, width), ours[name]
            if wanted is None:
                assert extent is None
                continue
            assert extent is not None
            assert extent.is_signed == is_signed
            made = [extent.magnitude(number, count, (width, height)) for number in range(count)]
            assert made == wanted.tolist(), name


@pytest.mark.parametrize("policy", ["AutoAugment", "RandAugment", "TrivialAugmentWide"])
@pytest.mark.parametrize(
    ("interpolation", "fill"), [("nearest", None), ("bilinear", (1, 2, 3)), ("bicubic", 128)]
)
def test_operations_have_torchvisions_pixels(policy: str, interpolation: str, fill: Any) -> None:
    other = getattr(v2, policy)()
    for image in IMAGES.values():
        own_fill = 7 if image.mode == "L" and isinstance(fill, tuple) else fill
        canvas = Canvas(image.size, RESAMPLING[interpolation], own_fill or 0)
        for name, extent in SPACES[policy].items():
            numbers = range(1) if extent is None else range(31)
            for number in numbers:
                for sign in (1, -1) if extent and extent.is_signed else (1,):
                    amount = sign * extent.magnitude(number, 31, image.size) if extent else 0.0
                    wanted = other._apply_image_or_video_transform(
                        image, name, amount, mode_of(interpolation), {"others": own_fill}
                    )
                    step = operations.OPERATIONS[name](amount, canvas)
                    assert_same(done([step], image), wanted, name, amount)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("fill", [0, 200])
def test_warps_have_torchvisions_pixels(interpolation: str, fill: int) -> None:
    draws = np.random.default_rng(1)
    resample = RESAMPLING[interpolation]
    for image in IMAGES.values():
        for turn in (0, 90, 180, 270, 360, -90, *draws.uniform(-400, 400, 20)):
            for expand in (False, True):
                for center in (None, (3.0, 20.5)):
                    step = rotation(image.size, turn, resample, fill, expand, center)
                    wanted = F.rotate(image, turn, mode_of(interpolation), expand, center, fill)
                    assert_same(warped(image, step), wanted, turn, expand, center)
        for _ in range(20):
            angle, *shear = draws.uniform(-60, 60, 3)
            moved = [int(value) for value in draws.integers(-20, 20, 2)]
            scale = draws.uniform(0.3, 2)
            for center in (None, (3.0, 20.5)):
                coefficients = affine(image.size, angle, moved, scale, shear, center)  # type: ignore[arg-type]
                step = Warp(image.size, coefficients, resample, fill)
                wanted = F.affine(
                    image, angle, moved, scale, shear, mode_of(interpolation), fill, center
                )
                assert_same(warped(image, step), wanted, angle, shear, moved, scale, center)


def test_a_perspective_is_torchvisions() -> None:
    image, draws = IMAGES["smooth"], np.random.default_rng(1)
    width, height = image.size
    start = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    different = 0
    for _ in range(200):
        inward = draws.integers(0, 30, (4, 2)) * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        corners = (np.array(start) + inward).tolist()
        coefficients = perspective(image.size, corners)
        step = Warp(image.size, coefficients, RESAMPLING["bilinear"], 9)
        wanted = F.perspective(image, start, corners, mode_of("bilinear"), 9)
        different += not np.array_equal(np.asarray(warped(image, step)), np.asarray(wanted))
        wanted = F.perspective(image, None, None, mode_of("bilinear"), 9, list(coefficients))
        assert_same(warped(image, step), wanted)
    # torchvision solves the equations with a different method, so the last bit of a coefficient in
    # single precision may differ.
    assert different <= 10


COLOURS: dict[str, tuple[Any, Any, Sequence[Any]]] = {
    "brightness": (levels.brightness, F.adjust_brightness, (0, 0.3, 1, 1.7, 5)),
    "contrast": (levels.contrast, F.adjust_contrast, (0, 0.3, 1, 1.7, 5)),
    "saturation": (levels.saturation, F.adjust_saturation, (0, 0.3, 1, 1.7, 5)),
    "hue": (levels.hue, F.adjust_hue, (-0.5, -0.13, 0, 0.004, 0.2, 0.5)),
    "sharpness": (levels.sharpness, F.adjust_sharpness, (0, 0.3, 1, 1.7, 5)),
    "posterize": (levels.posterize, F.posterize, range(1, 9)),
    "solarize": (levels.solarize, F.solarize, (0, 17.5, 128, 255, 256)),
    "autocontrast": (levels.autocontrast, lambda image, _: F.autocontrast(image), (None,)),
    "equalize": (levels.equalize, lambda image, _: F.equalize(image), (None,)),
    "invert": (levels.invert, lambda image, _: F.invert(image), (None,)),
    "grayscale": (
        levels.grayscale,
        lambda image, _: F.rgb_to_grayscale(image, len(image.getbands())),
        (None,),
    ),
}


@pytest.mark.parametrize("name", COLOURS)
def test_changes_of_colour_have_torchvisions_pixels(name: str) -> None:
    own, theirs, amounts = COLOURS[name]
    for image in IMAGES.values():
        for amount in amounts:
            made = levels.Recolored(((own, amount),))(image)
            assert_same(made, theirs(image, amount), amount)


def test_several_changes_of_colour_have_torchvisions_pixels() -> None:
    draws = np.random.default_rng(2)
    for image in IMAGES.values():
        for _ in range(100):
            chosen, wanted = [], image
            for name in draws.choice(list(COLOURS), 4):
                own, theirs, amounts = COLOURS[name]
                amount = amounts[int(draws.integers(len(amounts)))]
                chosen.append((own, amount))
                wanted = theirs(wanted, amount)
            assert_same(levels.Recolored(tuple(chosen))(image), wanted, chosen)


@pytest.mark.parametrize("kernel_size", [(3, 3), (23, 5), (1, 9)])
@pytest.mark.parametrize("sigma", [0.1, 0.8, 2.0])
def test_a_blur_is_torchvisions_but_for_the_rounding_of_halves(
    kernel_size: Any, sigma: float
) -> None:
    for name in ("smooth", "noise", "grey"):
        wanted = np.asarray(
            F.gaussian_blur(IMAGES[name], list(kernel_size), [sigma, sigma])
        ).astype(int)
        made = np.asarray(blurred(IMAGES[name], kernel_size, sigma)).astype(int)
        assert np.abs(made - wanted).max() <= 1
        assert (made != wanted).mean() < 3e-4


@pytest.mark.parametrize("value", [7, (1, 2, 3)])
def test_an_erased_part_is_torchvisions(value: Any) -> None:
    image = IMAGES["noise"]
    erasing = augment.RandomErasing(p=1, value=value)
    for seed in range(30):
        left, top, right, bottom = erasing.part(*image.size, _after_one(seed)) or (0, 0, 0, 0)
        colour = torch.tensor(np.atleast_1d(value), dtype=torch.float32)[:, None, None]
        wanted = F.erase(image, top, left, bottom - top, right - left, colour)
        assert_same(erasing(image, rng=np.random.default_rng(seed)), wanted)


def _after_one(seed: int) -> np.random.Generator:
    """Return the generator that a transform makes for `seed`, after its draw for `p`."""
    rng = own_generator(np.random.default_rng(seed))
    rng.random()
    return rng


def _similar(ours: Any, theirs: Any) -> bool:
    """Return whether a Kolmogorov-Smirnov test at 0.1 % finds no difference in distribution."""
    ours, theirs = np.sort(np.asarray(ours, float)), np.sort(np.asarray(theirs, float))
    every = np.concatenate([ours, theirs])
    distances = np.abs(
        np.searchsorted(ours, every, "right") / len(ours)
        - np.searchsorted(theirs, every, "right") / len(theirs)
    )
    return bool(distances.max() < 1.95 * math.sqrt(1 / len(ours) + 1 / len(theirs)))


SIZE = (120, 80)
BLANK = Image.new("RGB", SIZE)


def own_numbers(transform: Any) -> np.ndarray[Any, Any]:
    """Return the coefficients of `DRAWS` random warps, one row for each warp."""
    rng = np.random.default_rng(3)
    return np.array([transform.steps(*SIZE, rng)[0].coefficients for _ in range(DRAWS)])


def test_affine_draws_are_distributed_as_torchvisions() -> None:
    inverse = pytest.importorskip("torchvision.transforms.functional")._get_inverse_affine_matrix
    torch.manual_seed(4)
    every: tuple[dict[str, Any], ...] = (
        {"degrees": 30},
        {"degrees": (10, 40), "translate": (0.2, 0.4)},
        {"degrees": 0, "scale": (0.5, 2), "shear": 20},
        {"degrees": 0, "shear": (5, 20)},
        {"degrees": 10, "shear": (5, 20, -30, 10), "center": (3, 9)},
    )
    for settings in every:
        other = v2.RandomAffine(**settings)
        center = settings.get("center", [60.0, 40.0])
        theirs = np.array([inverse(center, **_affine_params(other)) for _ in range(DRAWS)])
        ours = own_numbers(augment.RandomAffine(**settings))
        for column in range(6):
            assert _similar(ours[:, column].round(9), theirs[:, column].round(9)), (
                settings,
                column,
            )


def _affine_params(transform: Any) -> dict[str, Any]:
    return dict(transform.make_params([BLANK]))


def test_rotations_are_distributed_as_torchvisions() -> None:
    torch.manual_seed(4)
    for degrees in (40, (10, 100)):
        ours = own_numbers(augment.RandomRotation(degrees))
        other = v2.RandomRotation(degrees)
        theirs = [other.make_params([BLANK])["angle"] for _ in range(DRAWS)]
        angles = np.degrees(np.arctan2(-ours[:, 1], ours[:, 0]))
        assert _similar(angles, theirs)


@pytest.mark.parametrize("distortion_scale", [0.2, 0.5, 1.0])
def test_perspectives_are_distributed_as_torchvisions(distortion_scale: float) -> None:
    torch.manual_seed(4)
    ours = own_numbers(augment.RandomPerspective(distortion_scale, p=1))
    other = v2.RandomPerspective(distortion_scale)
    theirs = np.array([other.make_params([BLANK])["coefficients"] for _ in range(DRAWS)])
    for column in range(8):
        assert _similar(ours[:, column].round(7), theirs[:, column].round(7))


@pytest.mark.parametrize("settings", [{}, {"scale": (0.3, 0.9), "ratio": (0.1, 4)}])
def test_erased_parts_are_distributed_as_torchvisions(settings: Any) -> None:
    torch.manual_seed(4)
    rng = np.random.default_rng(3)
    parts = [augment.RandomErasing(**settings).part(*SIZE, rng) for _ in range(DRAWS)]
    there = [part for part in parts if part]
    other = v2.RandomErasing(**settings)
    drawn = [other.make_params([BLANK]) for _ in range(DRAWS)]
    theirs = [
        (one["j"], one["i"], one["j"] + one["w"], one["i"] + one["h"])
        for one in drawn
        if one["v"] is not None
    ]
    assert abs(len(there) - len(theirs)) < 4 * math.sqrt(DRAWS) / 2
    for column in range(4):
        assert _similar([part[column] for part in there], [part[column] for part in theirs])


def test_sigmas_and_factors_are_distributed_as_torchvisions() -> None:
    torch.manual_seed(4)
    rng = np.random.default_rng(3)
    blur, other = augment.GaussianBlur(5, (0.3, 1.4)), v2.GaussianBlur(5, (0.3, 1.4))
    ours: list[Any] = [blur.steps(*SIZE, rng)[0].keywords["sigma"] for _ in range(DRAWS)]  # type: ignore[attr-defined]
    assert _similar(ours, [other.make_params([BLANK])["sigma"][0] for _ in range(DRAWS)])
    settings: Any = {"brightness": 0.4, "contrast": 1.5, "saturation": (0.2, 0.7), "hue": 0.1}
    jitter, theirs = augment.ColorJitter(**settings), v2.ColorJitter(**settings)
    chosen = [dict(jitter.steps(*SIZE, rng)[0].changes) for _ in range(DRAWS)]  # type: ignore[attr-defined]
    drawn = [theirs.make_params([BLANK]) for _ in range(DRAWS)]
    for name in settings:
        change = getattr(levels, name)
        assert _similar([one[change] for one in chosen], [one[f"{name}_factor"] for one in drawn])
    orders = Counter(tuple(change.__name__ for change in one) for one in chosen)
    names = list(settings)
    wanted = Counter(tuple(names[number] for number in one["fn_idx"]) for one in drawn)
    assert _alike(orders, wanted)


def _alike(ours: Counter[Any], theirs: Counter[Any]) -> bool:
    """Return whether every key is as frequent in both, within five standard deviations."""
    return all(
        abs(ours[key] - theirs[key]) <= 5 * math.sqrt(ours[key] + theirs[key] + 1)
        for key in {*ours, *theirs}
    )


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """A count of the operations that raybatch draws, each with its magnitude."""
    seen: Counter[Any] = Counter()

    def recording(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def record(magnitude: float, canvas: Canvas) -> Any:
            seen[name, round(magnitude, 5)] += 1
            return operation(magnitude, canvas)

        return record

    table = {name: recording(name, one) for name, one in operations.OPERATIONS.items()}
    monkeypatch.setattr(operations, "OPERATIONS", table)
    return seen


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("RandAugment", {}),
        ("RandAugment", {"num_ops": 3, "magnitude": 4, "num_magnitude_bins": 10}),
        ("TrivialAugmentWide", {}),
        ("TrivialAugmentWide", {"num_magnitude_bins": 5}),
        ("AutoAugment", {}),
        ("AugMix", {}),
        ("AugMix", {"severity": 10, "mixture_width": 2, "chain_depth": 2, "all_ops": False}),
    ],
)
def test_policies_draw_as_torchvisions(
    name: str, settings: Any, recorded: Counter[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(4)
    rng = np.random.default_rng(3)
    other = getattr(v2, name)(**settings)
    theirs: Counter[Any] = Counter()

    def record(image: Any, transform_id: str, magnitude: float, **_: Any) -> Any:
        theirs[transform_id, round(magnitude, 5)] += 1
        return image

    monkeypatch.setattr(other, "_apply_image_or_video_transform", record)
    for _ in range(DRAWS):
        getattr(augment, name)(**settings).steps(*SIZE, rng)
        other(BLANK)
    # Magnitudes of -0.0 and 0.0 are the same key.
    assert sum(recorded.values()) == pytest.approx(sum(theirs.values()), rel=0.03)
    assert {key[0] for key in recorded} == {key[0] for key in theirs}
    assert _alike(recorded, theirs)


def test_mixtures_are_weighted_as_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    rng = np.random.default_rng(3)
    own: list[Any] = [augment.AugMix(alpha=0.5).steps(*SIZE, rng)[0] for _ in range(DRAWS)]
    other: Any = v2.AugMix(alpha=0.5)
    pairs: list[Any] = []
    shares: list[Any] = []
    sample = other._sample_dirichlet

    def record(params: Any) -> Any:
        drawn = sample(params)
        (pairs if drawn.shape[1] == 2 else shares).append(drawn[0].tolist())
        return drawn

    monkeypatch.setattr(other, "_sample_dirichlet", record)
    small = Image.new("RGB", (8, 8))
    for _ in range(600):
        other(small)
    assert _similar([one.own for one in own], [pair[0] for pair in pairs])
    weighted = [share[0] * pair[1] for share, pair in zip(shares, pairs, strict=True)]
    assert _similar([one.shares[0] for one in own], weighted)
    assert isinstance(own[0], policies._Mixture)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixed_batches_are_torchvisions(name: str, alpha: float) -> None:
    rng = np.random.default_rng(3)
    images = rng.random((4, 3, 20, 30), np.float32)
    labels = np.array([0, 2, 1, 2])
    own = getattr(augment, name)(alpha=alpha, num_classes=3)
    other: Any = getattr(v2, name)(alpha=alpha, num_classes=3)
    batch = torch.from_numpy(images)
    torch.manual_seed(4)
    shares, their_shares = [], []
    for seed in range(DRAWS):
        mixed, soft = own(images, labels, rng=np.random.default_rng(seed))
        shares.append(soft[0, 0])
        if seed < 50:
            if name == "MixUp":
                params: dict[str, Any] = {"lam": float(soft[0, 0])}
            else:
                changed = np.argwhere((mixed != images).any((0, 1)))
                (y1, x1), (y2, x2) = (
                    (changed.min(0), changed.max(0) + 1) if len(changed) else ((0, 0), (0, 0))
                )
                params = {"box": (x1, y1, x2, y2), "lam_adjusted": float(soft[0, 0])}
            params |= {"labels": torch.from_numpy(labels), "batch_size": 4}
            np.testing.assert_allclose(mixed, other.transform(batch, params).numpy(), atol=1e-6)
            wanted = other.transform(params["labels"], params).numpy()
            np.testing.assert_allclose(soft, wanted, atol=1e-6)
        drawn = other.make_params([batch])
        their_shares.append(drawn.get("lam", drawn.get("lam_adjusted")))
    assert _similar(shares, their_shares)
    assert soft.dtype == np.float32


def test_settings_have_torchvisions_names_and_defaults() -> None:
    import inspect

    for name in augment.__all__:
        if not hasattr(v2, name) or name in (
            "Compose",
            "Transform",
            "Resize",
            "RandomResizedCrop",
            "ColorJitter",
        ):
            continue
        ours = inspect.signature(getattr(augment, name)).parameters
        theirs = inspect.signature(getattr(v2, name)).parameters
        assert set(ours) == {*theirs} - {"inplace"}, name
        for key, parameter in ours.items():
            if (name, key) == ("AutoAugment", "policy"):
                assert parameter.default == theirs[key].default.value
            else:
                assert parameter.default == theirs[key].default, (name, key)

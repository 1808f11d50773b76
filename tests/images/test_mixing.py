"""MixUp and CutMix: batches of every form, their labels, and the stream of a loader."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import raybatch as rb
from raybatch.image import augment

LABELS = np.array([0, 2, 1, 2, 0])
SHARES = np.eye(3, dtype=np.float32)[LABELS]


def images(*shape: int, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    noise = np.random.default_rng(0).integers(0, 256, (5, *shape))
    return (noise / 255 if np.dtype(dtype).kind == "f" else noise).astype(dtype)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


SHAPES = [(12, 18), (12, 18, 3), (3, 12, 18), (1, 12, 18)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_are_blended_with_the_ones_before_them(shape: Any, dtype: Any) -> None:
    given = images(*shape, dtype=dtype)
    before = given.copy()
    for seed in range(5):
        mixed, shares = augment.MixUp(num_classes=3)(given, LABELS, rng=rng(seed))
        assert (mixed.dtype, mixed.shape) == (given.dtype, given.shape)
        assert (shares.dtype, shares.shape) == (np.float32, (5, 3))
        own = rng(seed).beta(1, 1)
        wanted = given * own + np.roll(given, 1, axis=0) * (1 - own)
        np.testing.assert_allclose(mixed, wanted, atol=0.501 if dtype == np.uint8 else 1e-6)
        np.testing.assert_allclose(
            shares, SHARES * own + np.roll(SHARES, 1, 0) * (1 - own), atol=1e-6
        )
        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_part_comes_from_the_images_before_and_counts_by_its_area(shape: Any) -> None:
    given = np.arange(5, dtype=np.uint8).reshape(5, *[1] * len(shape)) + np.zeros(shape, np.uint8)
    areas = set()
    for seed in range(50):
        mixed, shares = augment.CutMix(num_classes=3)(given, LABELS, rng=rng(seed))
        is_other = mixed != given
        np.testing.assert_array_equal(mixed[is_other], np.roll(given, 1, 0)[is_other])
        assert (is_other == is_other[0]).all()
        area = is_other[0].mean()
        place = (
            is_other[0].any(axis=-1 if shape[-1] == 3 else 0) if len(shape) == 3 else is_other[0]
        )
        rows, columns = place.any(axis=1).sum(), place.any(axis=0).sum()
        assert rows * columns / (12 * 18) == pytest.approx(area)
        np.testing.assert_allclose(
            shares, SHARES * (1 - area) + np.roll(SHARES, 1, 0) * area, atol=1e-6
        )
        areas.add(round(float(area), 3))
    assert len(areas) > 20
    np.testing.assert_array_equal(given.reshape(5, -1)[:, 0], np.arange(5))


class Pair(NamedTuple):
    image: Any
    label: Any


@dataclasses.dataclass(frozen=True)
class Sample:
    names: list[str]
    pixels: Any
    class_label: Any


NAMES = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("mixing", [augment.MixUp, augment.CutMix])
def test_batches_keep_their_form(mixing: Any) -> None:
    given, mix = images(12, 18, 3), mixing(num_classes=3)
    pixels, shares = mix(given, LABELS, rng=rng())
    several = mix(given, LABELS, NAMES, rng=rng())
    assert several[2] is NAMES
    named = mix({"image": given, "labels": LABELS, "label_names": NAMES}, rng=rng())
    assert list(named) == ["image", "labels", "label_names"]
    pair = mix(Pair(given, LABELS), rng=rng())
    assert isinstance(pair, Pair)
    sample = mix(Sample(NAMES, given, LABELS), rng=rng())
    assert isinstance(sample, Sample)
    nested = mix(given, {"boxes": NAMES, "labels": LABELS}, rng=rng())
    by_getter = mixing(num_classes=3, labels_getter=lambda batch: batch["y"])
    found = by_getter({"y": LABELS, "x": given}, rng=rng())
    for made in (
        several,
        (named["image"], named["labels"]),
        pair,
        (sample.pixels, sample.class_label),
        (nested[0], nested[1]["labels"]),
        (found["x"], found["y"]),
        mix(given, SHARES, rng=rng()),
        mixing()(given, SHARES, rng=rng()),
    ):
        np.testing.assert_array_equal(made[0], pixels)
        np.testing.assert_array_equal(made[1], shares)


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ((images(8, 8), LABELS + 1), ValueError, "from 0 to num_classes - 1 = 2, not 1 to 3"),
        ((images(8, 8), LABELS - 1), ValueError, "not -1 to 1"),
        ((images(8, 8), LABELS / 2), ValueError, r"float64 of shape \(5,\)"),
        ((images(8, 8), np.eye(4)), ValueError, "have 4 classes, but num_classes is 3"),
        ((images(8, 8), LABELS[:4]), ValueError, "5 images, but 4 labels"),
        ((LABELS, LABELS), TypeError, "found no labels after the images"),
        (({"image": LABELS, "label": LABELS},), TypeError, "found no images"),
        (
            ({"mask": images(8, 8), "image": images(8, 8, 3), "label": LABELS},),
            TypeError,
            "has 2 arrays with the shape of images",
        ),
        (
            ({"image": images(8, 8), "coarse_label": LABELS, "label_name": LABELS},),
            TypeError,
            "which of the fields .* has the labels",
        ),
        (
            ({"image": images(8, 8), "class": LABELS},),
            TypeError,
            r"\['image', 'class'\] .*labels_getter=",
        ),
    ],
)
def test_what_cannot_be_mixed_is_refused(batch: Any, error: type[Exception], message: str) -> None:
    for mixing in (augment.MixUp, augment.CutMix):
        with pytest.raises(error, match=message):
            mixing(num_classes=3)(*batch, rng=rng())
    with pytest.raises(ValueError, match="num_classes is needed"):
        augment.MixUp()(images(8, 8), LABELS, rng=rng())


@pytest.mark.parametrize("with_names", [False, True])
def test_a_loader_mixes_each_batch_by_its_own_numbers(with_names: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    labels = np.arange(20)
    fields: Any = {"image": pixels, "label": labels} if with_names else [pixels, labels]
    source = rb.ArrayDataSource(fields).map(augment.MixUp(num_classes=20), rng=True)
    whole = [tuple(b.values()) if with_names else b for b in rb.Loader(source, 5, shuffle=3)]
    assert whole[0][1].shape == (5, 20)
    assert len({float(batch[1].max()) for batch in whole}) > 1
    loader = rb.Loader(source, 5, shuffle=3)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    again = rb.Loader(source, 5, shuffle=3)
    again.load_state_dict(state)
    rest = [tuple(b.values()) if with_names else b for b in again]
    for made, wanted in zip(rest, whole[1:], strict=True):
        np.testing.assert_array_equal(made[0], wanted[0])
        np.testing.assert_array_equal(made[1], wanted[1])


def test_labels_are_found_by_their_exact_name_and_after_the_images() -> None:
    mix = augment.MixUp(num_classes=3)
    coarse = LABELS.copy()
    given = {"label_coarse": coarse, "label": LABELS, "image": images(8, 8)}
    made = mix(given, rng=rng())
    assert made["label"].shape == (5, 3)
    assert made["label_coarse"] is coarse
    numbers, _, labels = mix(np.arange(5), images(8, 8), LABELS, rng=rng())
    assert numbers.tolist() == list(range(5))
    np.testing.assert_array_equal(labels, made["label"])


def test_a_choice_of_mixings_is_a_mixing() -> None:
    one, other = augment.MixUp(num_classes=3), augment.CutMix(num_classes=3)
    choice = augment.RandomChoice([one, other])
    source = rb.ArrayDataSource([images(8, 8), LABELS]).map(choice, rng=True)
    ((_, labels),) = rb.Loader(source, 5)
    assert labels.shape == (5, 3)
    made = [choice(images(8, 8), LABELS, rng=rng(seed))[1].tobytes() for seed in range(8)]
    assert len(set(made)) > 4
    flip: Any = augment.RandomHorizontalFlip()
    for wrong in ([one, flip], [flip, one]):
        with pytest.raises(TypeError, match="changes batches, not images"):
            augment.RandomChoice(wrong)
        with pytest.raises(TypeError, match=r"give it to source\.map\(\.\.\., rng=True\)"):
            augment.Compose(wrong)


def test_a_class_in_the_place_of_a_change_is_refused() -> None:
    for kind in (augment.Compose, augment.RandomApply, augment.RandomChoice):
        with pytest.raises(
            TypeError, match=r"not the class GaussianBlur: write GaussianBlur\(\.\.\.\)"
        ):
            kind([augment.GaussianBlur])


def test_labels_that_are_not_in_the_batch_are_refused() -> None:
    mix = augment.MixUp(num_classes=3, labels_getter=lambda batch: batch["y"].astype(np.int64))
    with pytest.raises(TypeError, match="not one of the arrays of the batch"):
        mix({"x": images(8, 8), "y": LABELS}, rng=rng())


def test_images_with_transparency_are_cut_too() -> None:
    given = images(32, 32, 2)
    made = [augment.CutMix(num_classes=3)(given, LABELS, rng=rng(seed))[0] for seed in range(5)]
    assert any(not np.array_equal(mixed, given) for mixed in made)

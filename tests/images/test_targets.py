"""One random draw applies to a whole sample: image, mask, boxes, labels and keypoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.image import augment
from tests.images.geometric import CROP, Nearest, numbered, palette_image, rng

WRONG: Any = augment


def brighter(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.point(lambda value: min(255, value + int(rng.integers(1, 9))))


def twice(change: Any, image: Any, mask: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    return change(image, rng=rng), change(mask, rng=rng)


def apart(change: Any, image: Any, mask: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    one, other = rng.spawn(2)
    return change(image, rng=one), change(mask, rng=other)


def in_turn(change: Any, image: Any, mask: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    mask = augment.RandomHorizontalFlip()(mask, rng=rng)
    return change(image, rng=rng), augment.CenterCrop((20, 24))(
        augment.CenterCrop(26)(mask, rng=rng), rng=rng
    )


def of_samples(fn: Callable[..., Any], change: Any) -> Any:
    images = np.stack([numbered()] * 4)
    source = rb.ArrayDataSource([images, images]).map_samples(partial(fn, change))
    (batch,) = rb.Loader(source, 4)
    return batch


def test_a_change_that_is_called_twice_for_one_sample_is_refused() -> None:
    change = augment.Compose([CROP, augment.RandomHorizontalFlip()])
    for each in (change, CROP):
        with pytest.raises(
            rb.errors.BatchError,
            match=r"TypeError: .* called twice with the generator of one sample",
        ):
            of_samples(twice, each)
    fixed = augment.Resize((9, 9))
    np.testing.assert_array_equal(*of_samples(twice, fixed))
    one, other = of_samples(apart, change)
    assert not np.array_equal(one, other)
    assert of_samples(in_turn, change)[0].shape == (4, 20, 24)
    # Your own generator may be used twice; it then draws different numbers.
    draws = rng()
    assert not np.array_equal(*twice(change, numbered(), numbered(), draws))


def test_dict_samples() -> None:
    change = augment.Compose([CROP, brighter, augment.RandomHorizontalFlip()])
    sample: dict[str, Any] = {
        "image": numbered(),
        "classes": numbered(np.int32),
        "boxes": np.array([[1, 2, 20, 20], [30, 20, 3, 3]], np.float32),
        "label": [*"ab"],
        "area": np.array([5, 6]),
        "file": "x.png",
    }
    fn = change.on(
        image="image", mask="classes", boxes="boxes", labels=("label", "area"), box_format="xywh"
    )
    made = fn(sample, rng=rng(4))
    assert list(made) == list(sample)
    image, mask, boxes, (label, area) = change(
        sample["image"],
        mask=sample["classes"],
        boxes=sample["boxes"],
        labels=(sample["label"], sample["area"]),
        box_format="xywh",
        rng=rng(4),
    )
    for name, wanted in {"image": image, "classes": mask, "boxes": boxes, "area": area}.items():
        np.testing.assert_array_equal(made[name], wanted)
    assert (made["label"], made["file"]) == (label, "x.png")
    as_pillow = {"image": Image.fromarray(sample["image"]), "mask": palette_image(numbered())}
    pictures = change.on(image="image", mask="mask")(as_pillow, rng=rng(4))
    np.testing.assert_array_equal(pictures["image"], image)
    np.testing.assert_array_equal(pictures["mask"], mask)
    only = change.on(image="image")(sample, rng=rng(4))
    np.testing.assert_array_equal(only["image"], image)
    assert only["boxes"] is sample["boxes"]
    with pytest.raises(KeyError, match=r"no field 'boxes'; it has"):
        fn({"image": numbered(), "classes": numbered()}, rng=rng())


def test_a_source_of_dicts_is_changed_sample_by_sample() -> None:
    images = np.stack([numbered()] * 6)
    fields = {"image": images, "mask": images.astype(np.int64), "number": np.arange(6)}
    change = augment.Compose([Nearest(CROP), brighter, augment.RandomHorizontalFlip()])
    source = rb.ArrayDataSource(fields).map_samples(change.on(image="image", mask="mask"))
    (whole,) = rb.Loader(source, 6, shuffle=3)
    assert [whole[name].shape for name in fields] == [(6, 20, 24), (6, 20, 24), (6,)]
    assert not np.array_equal(whole["mask"][0], whole["mask"][1])
    with rb.ThreadPool(2) as pool:
        parts = list(rb.Loader(source, 4, shuffle=3, pool=pool))
    for name in fields:
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_array_equal(joined, whole[name])


@pytest.mark.parametrize(
    ("given_targets", "error", "message"),
    [
        ({"mask": numbered()[1:]}, ValueError, r"the size of its image: it has 27 × 36 .* 28 × 36"),
        ({"mask": Image.new("L", (36, 27))}, ValueError, "27 × 36 pixels"),
        ({"mask": Image.new("RGB", (36, 28))}, ValueError, "one channel, not of mode RGB"),
        (
            {"mask": numbered(np.float64)},
            TypeError,
            "integers, bools or float32, not array of float64",
        ),
        ({"mask": [[1]]}, TypeError, "not <class 'list'>"),
        ({"mask": numbered()[0]}, ValueError, r"\(H, W\) or \(k, H, W\), not \(36,\)"),
        (
            {"mask": numbered(), "mask_fill": 256},
            ValueError,
            "a mask of uint8 cannot hold mask_fill=256",
        ),
        ({"mask": numbered(np.int64) + 2**40}, ValueError, "32-bit"),
        ({"boxes": np.zeros((3, 5))}, ValueError, r"\(k, 4\), not \(3, 5\)"),
        ({"boxes": np.zeros((3, 4), np.float16)}, TypeError, "float32 or float64, not of float16"),
        ({"boxes": np.zeros((3, 4)), "labels": [1, 2]}, ValueError, "each of 3 boxes, not 2"),
        (
            {"boxes": np.zeros((2, 4)), "labels": (1, 2)},
            TypeError,
            "labels must have a row for each of 2 boxes: give a list or an array, not 1.",
        ),
        (
            {"boxes": [[0, 0, 9], [0, 0, 9, 9]]},
            ValueError,
            r"boxes must be rows of equal length, not \[\[0, 0, 9\], \[0, 0, 9, 9\]\]",
        ),
        ({"labels": [1, 2]}, TypeError, "give boxes too"),
        ({"boxes": np.zeros((1, 4)), "box_format": "yxyx"}, ValueError, "'cxcywh', not 'yxyx'"),
        (
            {"boxes": [[0, 0, 1, 1], [3, 4, 9, 9]], "relative": True},
            ValueError,
            r"boxes\[1\] is \[3\.0, 4\.0, 9\.0, 9\.0\], but relative=True takes fractions",
        ),
        ({"boxes": np.zeros((1, 4)), "min_visible": 2}, ValueError, "from 0 to 1, not 2"),
        ({"keypoints": np.zeros((3, 4))}, ValueError, r"not \(3, 4\)"),
        ({"masks": numbered()}, TypeError, "masks"),
    ],
)
def test_wrong_targets_are_refused(
    given_targets: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        augment.CenterCrop(9)(numbered(), rng=rng(), **given_targets)


def test_a_function_that_changes_the_size_leaves_no_targets_behind() -> None:
    def halved(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.reduce(2)

    change = augment.Compose([halved])
    assert change(numbered(), rng=rng()).shape == (14, 18)
    with pytest.raises(ValueError, match=r"halved.* changed the size"):
        change(numbered(), mask=numbered(), rng=rng())


def test_a_part_of_a_compose_has_numbers_of_its_own() -> None:
    def greedy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        rng.random(int(rng.integers(1, 9)))
        return image

    def modest(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image

    for seed in range(20):
        one, other = (
            augment.Compose([CROP, part, augment.RandomHorizontalFlip()])(numbered(), rng=rng(seed))
            for part in (greedy, modest)
        )
        np.testing.assert_array_equal(one, other)
    seen: list[float] = []

    def draws(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        seen.extend([rng.random(), rng.spawn(1)[0].random(), rng.spawn(1)[0].random()])
        return image

    for _ in range(2):
        augment.Compose([draws, draws])(numbered(), rng=rng())
    assert seen[:6] == seen[6:]
    assert len(set(seen)) == 6

"""Transforms move a mask exactly as they move its image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from raybatch.image import augment
from tests.images.geometric import FILL, GEOMETRIC, Nearest, numbered, palette_image, rng


@pytest.mark.parametrize("number", range(len(GEOMETRIC)))
def test_what_was_equal_before_is_equal_after(number: int) -> None:
    """All transforms together make more than 10,000 draws."""
    change = Nearest(GEOMETRIC[number])
    image, draws = numbered(), rng(number)
    moved = 0
    for _ in range(1000):
        made, mask = change(image, mask=image, rng=draws, mask_fill=FILL)
        np.testing.assert_array_equal(made, mask)
        moved += made.shape != image.shape or not np.array_equal(made, image)
    assert moved > 300


@pytest.mark.parametrize("change", GEOMETRIC, ids=repr)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int64", "float32"])
def test_masks_of_all_kinds_are_moved_alike(change: Any, dtype: str) -> None:
    values = numbered() % 2 if dtype == "bool" else numbered() % 100
    wanted_fill = 1 if dtype == "bool" else 77
    mask = values.astype(dtype)
    before = mask.copy()
    for seed in range(5):
        _, wanted = change(values, mask=values, rng=rng(seed), mask_fill=wanted_fill)
        _, made = change(values, mask=mask, rng=rng(seed), mask_fill=wanted_fill)
        _, planes = change(values, mask=np.stack([mask] * 3), rng=rng(seed), mask_fill=wanted_fill)
        assert made.dtype == mask.dtype
        np.testing.assert_array_equal(made, wanted.astype(dtype))
        np.testing.assert_array_equal(planes, np.stack([made] * 3))
        assert set(np.unique(made)) <= {*np.unique(mask), wanted_fill}
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "I"])
def test_masks_that_are_pillow_images_keep_their_mode(mode: str) -> None:
    values = numbered() % 21
    mask = palette_image(values) if mode == "P" else Image.fromarray(values)
    if mode == "I;16":
        mask = Image.fromarray(values.astype(np.uint16) * 1000)
    elif mode != "P":
        mask = mask.convert(mode)
    change = augment.Letterbox((40, 40))
    _, made = change(Image.fromarray(values).convert("RGB"), mask=mask, rng=rng())
    assert made.mode == mode
    assert made.getpalette() == mask.getpalette()
    margin = np.asarray(made)[0]
    assert (margin == (0 if mode == "1" else 255)).all()
    assert set(np.unique(np.asarray(made)[10:30])) == set(np.unique(np.asarray(mask)))


def test_around_a_mask_is_what_is_asked_for() -> None:
    image, change = numbered(), augment.Letterbox(40)
    for mask, fill, wanted in (
        (image, None, 255),
        (image, 3, 3),
        (image > 9, None, False),
        (image[None], None, 0),
        (image[None], 3, 3),
    ):
        settings = {} if fill is None else {"mask_fill": fill}
        made = change(image, mask=mask, rng=rng(), **settings)[1]
        assert (made[..., 0, :] == wanted).all()
    assert change(image, mask=np.zeros((0, *image.shape), bool), rng=rng())[1].shape == (0, 40, 40)

"""The padding of random crops, for images, masks, boxes and keypoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.image import augment

PIXELS = np.random.default_rng(0).integers(0, 256, size=(9, 12, 3), dtype=np.uint8)
MODES = ["constant", "edge", "reflect", "symmetric"]
SIDES = [(2, (2, 2, 2, 2)), ((3, 1), (3, 1, 3, 1)), ([4, 0, 1, 25], (4, 0, 1, 25))]


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def padded(pixels: Any, sides: tuple[int, int, int, int], mode: Any, fill: int = 7) -> Any:
    """Return `pixels` padded by `sides`: left, top, right and bottom."""
    left, top, right, bottom = sides
    edges = [(top, bottom), (left, right), (0, 0)][: pixels.ndim]
    settings: Any = {"constant_values": fill} if mode == "constant" else {}
    return np.pad(pixels, edges, mode, **settings)


def place_of(part: Any, whole: Any) -> list[tuple[int, int]]:
    """Return the places (top, left) at which `part` lies in `whole`."""
    height, width = part.shape[:2]
    return [
        (top, left)
        for top in range(whole.shape[0] - height + 1)
        for left in range(whole.shape[1] - width + 1)
        if np.array_equal(part, whole[top : top + height, left : left + width])
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("padding", "sides"), SIDES)
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0], PIXELS[:1], PIXELS[:, :1]])
def test_a_part_is_one_of_the_padded_image(
    pixels: Any, padding: Any, sides: Any, mode: str
) -> None:
    whole = padded(pixels, sides, mode)
    size = whole.shape[0] - 1, whole.shape[1] - 2
    crop = augment.RandomCrop(size, padding, fill=7, padding_mode=mode)
    seen = set()
    for seed in range(40):
        part = crop(pixels, rng=rng(seed))
        places = place_of(part, whole)
        assert places
        seen.update(places)
        of_image = crop(Image.fromarray(pixels), rng=rng(seed))
        np.testing.assert_array_equal(part, np.asarray(of_image))
    assert {(0, 0), (1, 2)} <= seen


@pytest.mark.parametrize("mode", MODES)
def test_a_small_image_is_padded_on_both_sides(mode: str) -> None:
    crop = augment.RandomCrop((15, 10), pad_if_needed=True, fill=7, padding_mode=mode)
    whole = padded(PIXELS, (0, 6, 0, 6), mode)
    seen = set()
    for seed in range(200):
        places = place_of(crop(PIXELS, rng=rng(seed)), whole)
        assert places
        seen.update(places)
    assert seen == {(top, left) for top in range(7) for left in range(3)}
    with pytest.raises(ValueError, match="pad_if_needed=True"):
        augment.RandomCrop((15, 10))(PIXELS, rng=rng())


def test_a_fill_for_each_channel() -> None:
    crop = augment.RandomCrop((9, 30), pad_if_needed=True, fill=(1, 2, 3))
    part = crop(PIXELS, rng=rng())
    assert {tuple(pixel) for pixel in part.reshape(-1, 3).tolist()} == {
        (1, 2, 3),
        *(tuple(pixel) for pixel in PIXELS.reshape(-1, 3).tolist()),
    }
    with pytest.raises(ValueError, match="one for each of the 1 channels"):
        crop(PIXELS[..., 0], rng=rng())


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int64", "float32"])
def test_masks_are_padded_as_their_images(mode: str, dtype: str) -> None:
    crop = augment.RandomCrop(14, 5, padding_mode=mode)
    grey = PIXELS[..., 0] % 2 if dtype == "bool" else PIXELS[..., 0]
    for seed in range(10):
        image, mask = crop(grey, mask=grey.astype(dtype), rng=rng(seed))
        assert mask.dtype == dtype
        np.testing.assert_array_equal(image, mask)
    paletted = Image.fromarray(grey).convert("P")
    for stored in (
        Image.fromarray(grey).convert("1"),
        paletted,
        Image.fromarray(grey).convert("I;16"),
    ):
        image, mask = crop(stored.convert("L"), mask=stored, rng=rng())
        assert mask.mode == stored.mode
        np.testing.assert_array_equal(np.asarray(image) > 0, np.asarray(mask.convert("L")) > 0)


@pytest.mark.parametrize("mode", MODES)
def test_boxes_and_keypoints_move_along(mode: str) -> None:
    image = np.zeros((9, 12), np.uint8)
    image[4, 6] = 255
    crop = augment.RandomCrop(10, 3, padding_mode=mode, fill=0)
    for seed in range(30):
        made, boxes, points = crop(
            image, boxes=np.array([[6, 4, 7, 5]]), keypoints=np.array([[6.5, 4.5]]), rng=rng(seed)
        )
        if len(boxes):
            left, top, right, bottom = boxes[0].astype(int)
            assert (right - left, bottom - top) == (1, 1)
            assert made[top, left] == 255
            np.testing.assert_array_equal(points[0], [left + 0.5, top + 0.5])


def test_files_and_their_masks(tmp_path: Path) -> None:
    """A file and its decoded image have the same pixels after a flip and a crop."""
    Image.fromarray(PIXELS).save(tmp_path / "0.png")
    crop = augment.RandomCrop(20, pad_if_needed=True, padding_mode="reflect")
    change = augment.Compose([augment.RandomHorizontalFlip(1), crop])
    images = rb.ImageFileAccessor([str(tmp_path / "0.png")], transform=change)
    masks = rb.ImageFileAccessor([str(tmp_path / "0.png")], transform=change, mode="L")
    source = rb.ArrayDataSource([images, masks])
    whole = padded(PIXELS[:, ::-1], (8, 11, 8, 11), "reflect")
    ((x, y),) = rb.Loader(source, 1, shuffle=True, seed=3)
    assert place_of(x[0], whole)
    np.testing.assert_array_equal(np.asarray(Image.fromarray(x[0]).convert("L")), y[0])

"""If a mask and its image differ in size, both must show the same part of the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.errors import BatchError, SampleReadError
from raybatch.image import augment

COUNT = 4
CROP = augment.RandomCrop(16)
RESIZED = augment.RandomResizedCrop(16, scale=(0.2, 0.5), interpolation="nearest")


def files(folder: Path, name: str, size: tuple[int, int], orientation: int = 1) -> list[str]:
    """Return the paths of grey ramps from left to right; `size` is (height, width)."""
    paths = []
    for number in range(COUNT):
        paths.append(str(folder / f"{name}{number}.png"))
        ramp = np.linspace(0, 250, size[1]).astype(np.uint8)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.tile(ramp, (size[0], 1))).save(paths[-1], exif=exif)
    return paths


def source(
    folder: Path, mask_size: tuple[int, int] = (48, 64), orientation: int = 1, **reading: Any
) -> rb.ArrayDataSource:
    reading = {"resample": "nearest", "mode": "L", **reading}
    images = files(folder, "image", (48, 64), orientation)
    masks = files(folder, "mask", mask_size)
    return rb.ArrayDataSource(
        {
            "image": rb.ImageFileAccessor(images, **reading),
            "mask": rb.ImageFileAccessor(masks, mask=True, **reading),
        }
    )


@pytest.mark.parametrize("change", [CROP, RESIZED, augment.CenterCrop(16)])
def test_another_size_that_would_show_another_part_is_an_error(tmp_path: Path, change: Any) -> None:
    data = source(tmp_path, (60, 64), transform=change)
    words = (
        r"sample 0, .*mask0\.png': the mask is 60x64 pixels \(height x width\), but its image"
        r" '.*image0\.png' is 48x64"
    )
    with pytest.raises(SampleReadError, match=words):
        data.samples_by_indices_nomapping(np.arange(2))
    with pytest.raises(BatchError, match=words):
        rb.Loader(data, 2)


@pytest.mark.parametrize("mask_size", [(48, 64), (24, 32), (96, 128)])
@pytest.mark.parametrize("change", [RESIZED, augment.RandomHorizontalFlip()])
def test_another_size_that_shows_the_same_part_is_right(
    tmp_path: Path, mask_size: tuple[int, int], change: Any
) -> None:
    parts = [change, augment.Resize((16, 16), "nearest")]
    data = source(tmp_path, mask_size, transform=augment.Compose(parts))
    for batch in rb.Loader(data, 2, shuffle=True, seed=3):
        far = np.abs(batch["image"].astype(int) - batch["mask"])
        assert far.max() <= 2 * 250 / 32


def test_a_first_scaling_makes_sizes_alike(tmp_path: Path) -> None:
    data = source(tmp_path, (60, 64), size=(32, 32), transform=CROP)
    for batch in rb.Loader(data, 2, shuffle=True, seed=3):
        assert np.abs(batch["image"].astype(int) - batch["mask"]).max() <= 250 / 32


def test_an_image_that_lies_on_its_side_beside_its_mask(tmp_path: Path) -> None:
    data = source(tmp_path, (64, 48), orientation=6, size=(16, 16))
    with pytest.raises(SampleReadError, match=r"mask is 64x48.* is 48x64.*exif_orientation=True"):
        data[1]
    upright = source(tmp_path, (64, 48), orientation=6, size=(16, 16), exif_orientation=True)
    assert upright[1]["mask"].shape == (16, 16)


def test_bad_pairs_can_be_skipped(tmp_path: Path) -> None:
    data = source(tmp_path, transform=CROP)
    Image.new("L", (50, 50)).save(tmp_path / "mask2.png")
    loader = rb.Loader(data, 2, bad_samples="skip")
    assert sum(len(batch["mask"]) for batch in loader) == COUNT - 1
    assert [sample.index for sample in loader.bad_samples] == [2]


def test_several_fields_of_images(tmp_path: Path) -> None:
    """A mask belongs to the images with its transform; if there are none, it is not checked."""
    images = rb.ImageFileAccessor(files(tmp_path, "image", (48, 64)), transform=CROP)
    small = rb.ImageFileAccessor(files(tmp_path, "small", (24, 32)), transform=RESIZED)
    paths = files(tmp_path, "mask", (24, 32))
    masks = [rb.ImageFileAccessor(paths, transform=one, mask=True) for one in (CROP, RESIZED)]
    with pytest.raises(SampleReadError, match=r"its image '.*image0"):
        rb.ArrayDataSource([small, images, masks[0]])[0]
    assert len(rb.ArrayDataSource([small, images, masks[1]])[0]) == 3
    other = rb.ImageFileAccessor(paths, transform=augment.RandomCrop(16, padding=1), mask=True)
    assert len(rb.ArrayDataSource([images, small, other])[0]) == 3

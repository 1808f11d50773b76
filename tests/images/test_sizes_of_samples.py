"""Buckets of aspect ratios: the images of one batch have one size, but batches differ."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.image import augment


@pytest.fixture(scope="module")
def buckets(photos: list[str]) -> rb.AspectRatioBuckets:
    heights, widths = rb.ImageSizes(photos)[np.arange(len(photos))].T
    return rb.aspect_ratio_buckets(heights, widths, 64, multiple_of=16, min_size=32, max_size=128)


def test_sizes_are_those_of_the_header(photos: list[str], tmp_path: Path) -> None:
    sizes = [rb.NonUniformImageFileAccessor(photos)[n].size[::-1] for n in range(len(photos))]  # type: ignore[union-attr]
    assert rb.ImageSizes(photos)[np.arange(len(photos))].tolist() == [list(size) for size in sizes]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    cut = (tmp_path / "cut.jpg").write_bytes(Path(photos[0]).read_bytes()[:1000])
    assert cut == 1000
    paths = [tmp_path / "turned.jpg", tmp_path / "cut.jpg"]
    assert rb.ImageSizes(paths)[0].tolist() == [20, 30]
    assert rb.ImageSizes(paths, exif_orientation=True)[0].tolist() == [30, 20]
    assert rb.ImageSizes(paths)[1].tolist() == list(sizes[0])


def test_buckets_are_those_of_sdxl() -> None:
    """These sizes are some of those in the table of the SDXL paper."""
    heights = [512, 512, 640, 704, 768, 832, 896, 1024, 1152, 1216, 1344]
    widths = [2048, 1856, 1600, 1408, 1344, 1216, 1152, 1024, 896, 832, 768]
    made = rb.aspect_ratio_buckets(heights, widths, 1024, min_size=512, max_size=2048)
    assert made.sizes.tolist() == [[h, w] for h, w in zip(heights, widths, strict=True)]
    assert len(made.shapes) == 11
    # The ratio 3 : 2 lies between 1216 × 832 and 1280 × 768, and is nearer to the former.
    near = rb.aspect_ratio_buckets([2000], [3000], 1024, min_size=512, max_size=2048)
    assert near.sizes.tolist() == [[832, 1216]]


@pytest.mark.parametrize("seed", range(20))
def test_each_image_is_in_the_nearest_bucket(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heights, widths = rng.integers(1, 3000, (2, 300))
    made = rb.aspect_ratio_buckets(heights, widths)
    shapes = made.shapes
    assert (shapes % 64 == 0).all()
    assert ((shapes >= 256) & (shapes <= 1024)).all()
    assert (shapes.prod(axis=1) <= 512 * 512).all()
    distances = np.abs(np.log(shapes[:, 1] / shapes[:, 0]) - np.log(widths / heights)[:, None])
    chosen = distances[np.arange(300), made.groups]
    np.testing.assert_allclose(chosen, distances.min(axis=1))
    assert set(made.groups.tolist()) == set(range(len(shapes)))


def encoded(paths: list[str], **options: Any) -> rb.EncodedImageAccessor:
    return rb.EncodedImageAccessor([Path(path).read_bytes() for path in paths], **options)


@pytest.mark.parametrize("kind", [rb.ImageFileAccessor, encoded])
def test_batches_have_the_size_of_their_bucket(
    kind: Any, photos: list[str], buckets: rb.AspectRatioBuckets, actors: rb.RayActorPool
) -> None:
    layout = rb.PixelLayout(channels_first=True, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    change = augment.PerSize(
        lambda size: augment.Compose(
            [augment.RandomResizedCrop(size), augment.RandomHorizontalFlip()]
        )
    )
    images = kind(photos, size=buckets.sizes, transform=change, layout=layout)
    sampler = rb.GroupedSampler(buckets.groups)
    source = rb.ArrayDataSource({"image": images}, sampler=sampler, include_indices=True)
    with rb.Loader(source, 4, shuffle=1, pool=actors) as of:
        shapes = set()
        for batch, serial in zip(of, rb.Loader(source, 4, shuffle=1), strict=True):
            np.testing.assert_array_equal(batch["image"], serial["image"])
            (size,) = {tuple(size) for size in buckets.sizes[batch["index"]].tolist()}
            assert batch["image"].shape == (len(batch["index"]), 3, *size)
            shapes.add(size)
    assert len(shapes) == len(buckets.shapes) == 3


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_pixels_are_those_of_the_size_alone(
    fit: str, photos: list[str], buckets: rb.AspectRatioBuckets
) -> None:
    images = rb.ImageFileAccessor(photos, buckets.sizes, fit=fit)
    listed: Any = rb.NonUniformImageFileAccessor(photos, buckets.sizes, fit=fit)[np.arange(40)]
    for group, (height, width) in enumerate(buckets.shapes.tolist()):
        own = np.flatnonzero(buckets.groups == group)
        one = rb.ImageFileAccessor(photos, (height, width), fit=fit)[own]
        np.testing.assert_array_equal(images[own], one)
        np.testing.assert_array_equal(np.stack([np.asarray(listed[i]) for i in own]), one)
        np.testing.assert_array_equal(images[int(own[0])], one[0])


def test_a_batch_of_several_sizes_is_an_error_that_names_two(
    photos: list[str], buckets: rb.AspectRatioBuckets
) -> None:
    images = rb.ImageFileAccessor(photos, buckets.sizes)
    first = int(np.flatnonzero(buckets.groups != buckets.groups[0])[0])
    with pytest.raises(
        ValueError, match=f"{Path(photos[0]).name}.*{Path(photos[first]).name}.*GroupedSampler"
    ):
        images[np.array([0, first])]
    with pytest.raises(ValueError, match=r"only samples of one size can be cached"):
        rb.CachedAccessor(images, "cache", 1000)


def encoded_at(size: Any) -> rb.EncodedImageAccessor:
    return rb.EncodedImageAccessor([png()], size)


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: encoded_at(np.ones((2, 2), int)),
            ValueError,
            "of 2 images, but there are 1",
        ),
        (
            lambda: encoded_at(np.ones((1, 3), int)),
            ValueError,
            r"not an array \(1, 3\)",
        ),
        (
            lambda: encoded_at(np.ones((1, 2))),
            TypeError,
            "integers, not of float64",
        ),
        (
            lambda: encoded_at(np.zeros((1, 2), int)),
            ValueError,
            "1 or more pixels",
        ),
        (
            lambda: rb.EncodedImageAccessor([png()], transform=augment.PerSize(augment.Resize)),
            ValueError,
            "give size=",
        ),
        (lambda: rb.aspect_ratio_buckets([3], [3, 4]), ValueError, "1 heights and 2 widths"),
        (lambda: rb.aspect_ratio_buckets([0], [3]), ValueError, "1 or more pixels"),
        (lambda: rb.aspect_ratio_buckets([3], [3], 128), ValueError, "no bucket has edges"),
    ],
)
def test_what_cannot_be_is_an_error(
    make: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()

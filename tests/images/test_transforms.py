"""The `transform=` of accessors, which must give the same pixels as `map_samples`."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import raybatch as rb
from raybatch.image import augment

CHANGE = augment.Compose(
    [
        augment.RandomResizedCrop((20, 24)),
        augment.RandomHorizontalFlip(),
        augment.ColorJitter(0.4, 0.4),
        augment.RandomVerticalFlip(),
    ]
)
LAYOUT = rb.PixelLayout(channels_first=True, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


def cropped(image: Any, number: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    changed = CHANGE(image, rng=rng)
    values = np.asarray(changed).astype(np.float32) / 255
    mean, std = (np.array(numbers, np.float32) for numbers in (LAYOUT.mean, LAYOUT.std))
    return ((values - mean) / std).transpose(2, 0, 1), number


def epochs(source: Any, batch_size: int, pool: Any = None) -> list[npt.NDArray[Any]]:
    """Return the images of two shuffled epochs, sorted by their numbers."""
    made = []
    with rb.Loader(source, batch_size, shuffle=7, pool=pool) as loader:
        for _ in range(2):
            batches = list(loader)
            numbers = np.concatenate([numbers for _, numbers in batches])
            images = np.concatenate([images for images, _ in batches])
            made.append(images[np.argsort(numbers)])
    return made


def by_map(images: Any) -> list[npt.NDArray[Any]]:
    return epochs(rb.ArrayDataSource([images, np.arange(len(images))]).map_samples(cropped), 7)


def check(images: Any, wanted: list[npt.NDArray[Any]], pool: Any = None) -> None:
    source = rb.ArrayDataSource([images, np.arange(len(images))])
    for batch_size in (5, 8):
        for got, expected in zip(epochs(source, batch_size, pool), wanted, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_files(photos: list[str]) -> None:
    wanted = by_map(rb.NonUniformImageFileAccessor(photos))
    assert wanted[0].shape == (len(photos), 3, 20, 24)
    assert not np.array_equal(wanted[0], wanted[1])
    images = rb.ImageFileAccessor(photos, transform=CHANGE, layout=LAYOUT)
    check(images, wanted)
    with rb.ThreadPool(2) as pool:
        check(images, wanted, pool)


def test_actors(photos: list[str], actors: rb.RayActorPool) -> None:
    images = rb.ImageFileAccessor(photos, transform=CHANGE, layout=LAYOUT)
    check(images, by_map(rb.NonUniformImageFileAccessor(photos)), actors)


def test_pillow_images(photos: list[str]) -> None:
    images = rb.NonUniformImageFileAccessor(photos, transform=augment.RandomVerticalFlip())
    whole = rb.NonUniformImageFileAccessor(photos)
    source = rb.ArrayDataSource([images, whole, np.arange(len(photos))])
    (batch,) = rb.Loader(source, len(photos))
    turned = 0
    for image, stored, number in zip(*batch, strict=True):
        assert isinstance(image, Image.Image)
        is_turned = image != stored
        assert not is_turned or image == stored.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        assert image == images[int(number)]
        turned += is_turned
    assert 0 < turned < len(photos)


def test_parquet(photos: list[str], tmp_path: Path) -> None:
    rb.to_parquet(photos, tmp_path / "photos.parquet")
    images = rb.ParquetImageAccessor(tmp_path / "photos.parquet", transform=CHANGE, layout=LAYOUT)
    check(images, by_map(rb.NonUniformImageFileAccessor(photos)))


def test_packed(photos: list[str], tmp_path: Path) -> None:
    whole = rb.ImageFileAccessor(photos, (40, 50))
    rb.pack(rb.ArrayDataSource([whole]), tmp_path)
    images = rb.PackedAccessor(tmp_path, transform=CHANGE, layout=LAYOUT)
    assert images.shape == (len(photos), 3, 20, 24)
    assert images.dtype == np.float32
    check(images, by_map(whole))
    check(pickle.loads(pickle.dumps(images)), by_map(whole))
    plain = rb.PackedAccessor(tmp_path, layout=rb.PixelLayout(channels_first=True))
    np.testing.assert_array_equal(plain[3], whole[3].transpose(2, 0, 1))
    with pytest.raises(ValueError, match="views=True needs samples as they are packed"):
        rb.PackedAccessor(tmp_path, transform=CHANGE, views=True)


def test_a_cache_keeps_what_is_before_the_random_part(photos: list[str], tmp_path: Path) -> None:
    wanted = by_map(rb.ImageFileAccessor(photos, (40, 50)))
    images = rb.ImageFileAccessor(photos, (40, 50), transform=CHANGE, layout=LAYOUT)
    cached = rb.CachedAccessor(images, tmp_path, 2**30)
    check(cached, wanted)
    assert cached.stats() == (3 * len(photos) + 2, len(photos))  # two loaders each try a sample
    # A different random part uses the same cache; a resize in the transform needs a new one.
    fixed = augment.Compose([augment.Resize((40, 50)), CHANGE])
    again = rb.ImageFileAccessor(photos, (40, 50), transform=augment.RandomCrop(9))
    assert rb.CachedAccessor(again, tmp_path, 2**30)[np.arange(4)].shape == (4, 9, 9, 3)
    assert len(list(tmp_path.iterdir())) == 1
    other = rb.CachedAccessor(
        rb.ImageFileAccessor(photos, transform=fixed, layout=LAYOUT), tmp_path, 2**30
    )
    check(other, wanted)
    assert len(list(tmp_path.iterdir())) == 2
    check(pickle.loads(pickle.dumps(other)), wanted)


def test_what_a_cache_cannot_keep_is_refused(photos: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"before the random part .* differ in size: give a size"):
        rb.CachedAccessor(rb.ImageFileAccessor(photos, transform=CHANGE), tmp_path, 2**20)
    with pytest.raises(TypeError, match="the samples of a Numbers change in each epoch"):
        rb.CachedAccessor(Numbers(), tmp_path, 2**20)


def test_images_and_masks_are_cut_alike(photos: list[str]) -> None:
    crop = augment.Compose([augment.RandomResizedCrop(16), augment.RandomHorizontalFlip()])
    images = rb.ImageFileAccessor(photos, transform=crop)
    same = rb.ImageFileAccessor(photos, transform=crop, layout=rb.PixelLayout(channels_first=True))
    for x, y in rb.Loader(rb.ArrayDataSource([images, same]), 5, shuffle=3):
        np.testing.assert_array_equal(x, y.transpose(0, 2, 3, 1))


class Numbers:
    """A user-defined `SeededAccessor` whose samples are random numbers."""

    is_random = True

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("a source reads by read_seeded")

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: Any) -> npt.NDArray[Any]:
        return np.array([rng_of(row).random() for row in range(len(index))])


def test_an_accessor_of_ones_own_draws_the_numbers_of_map_samples() -> None:
    numbers: rb.SeededAccessor = Numbers()
    source = rb.ArrayDataSource([numbers, np.arange(20)])
    drawn = rb.ArrayDataSource([np.arange(20)]).map_samples(
        lambda number, rng: (rng.random(), number)
    )
    for x, y in zip(epochs(source, 6), epochs(drawn, 9), strict=True):
        np.testing.assert_array_equal(x, y)
    # A map over the source does not draw the numbers of the accessor again.
    above = source.map_samples(lambda number, index, rng: (number, rng.random()))
    (batch,) = above.batch_iterator(20)
    assert not np.isin(batch[0], batch[1]).any()


def test_an_image_alone_is_that_of_epoch_0_of_seed_0(photos: list[str]) -> None:
    images = rb.ImageFileAccessor(photos, transform=CHANGE)
    ((batch,),) = rb.Loader(rb.ArrayDataSource([images]), len(photos))
    np.testing.assert_array_equal(images[np.arange(len(photos))], batch)
    np.testing.assert_array_equal(images[-2], batch[-2])


def test_a_drawn_image_is_a_float_too(photos: list[str]) -> None:
    images = rb.ImageFileAccessor(photos, transform=CHANGE)
    floats = rb.image.ImageArrayUInt8ToFloat32(images)
    for x, y in rb.Loader(rb.ArrayDataSource([images, floats]), 8, shuffle=3):
        np.testing.assert_array_equal(y, x.astype(np.float32) * np.float32(1 / 255))


def test_images_of_unknown_size_are_refused_where_the_accessor_is_made(photos: list[str]) -> None:
    for change in (augment.Resize(20), augment.RandomHorizontalFlip()):
        with pytest.raises(ValueError, match="differ in size and do not stack"):
            rb.ImageFileAccessor(photos, transform=change)
        assert rb.ImageFileAccessor(photos, (9, 9), transform=change)[0].ndim == 3


def test_a_function_that_changes_the_size_is_told(photos: list[str]) -> None:
    def smaller(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.crop((0, 0, 5, 5))

    images = rb.ImageFileAccessor(photos, (9, 9), transform=smaller)
    with pytest.raises(rb.errors.SampleReadError, match="returned an image of 5 × 5 pixels"):
        images[0]


def test_one_bad_file_among_random_crops(photos: list[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(photos[3]).read_bytes()[:300])
    paths = [*photos[:3], str(broken), *photos[4:]]
    images = rb.ImageFileAccessor(paths, transform=CHANGE, layout=LAYOUT)
    source = rb.ArrayDataSource([images, np.arange(len(paths))])
    wanted = by_map(rb.NonUniformImageFileAccessor(photos))[0]
    with rb.Loader(source, 5, shuffle=7, bad_samples="skip") as loader:
        for x, numbers in loader:
            np.testing.assert_array_equal(x, wanted[numbers])
        assert [bad.index for bad in loader.bad_samples] == [3]


class Inside(augment.Drawn):
    """A user-defined transform that calls a user-defined function."""

    def __init__(self, change: Any) -> None:
        self._change = augment.Compose([change])

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Any:
        return self._change.steps(width, height, rng)


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    noise = np.random.randint(0, 9, (*image.size[::-1], 3), np.uint8)
    return Image.fromarray(np.asarray(image) // 2 + noise)


def test_global_generators_are_seeded_for_a_function_in_a_transform(photos: list[str]) -> None:
    for change in (noisy, Inside(noisy)):
        images = rb.ImageFileAccessor(photos, (9, 9), transform=change)
        first = images[np.arange(4)]
        np.random.random(7)
        np.testing.assert_array_equal(images[np.arange(4)], first)


@pytest.mark.parametrize("wrap", [augment.RandomChoice, augment.RandomApply])
def test_a_function_in_a_random_change_sees_the_metadata_too(wrap: Any, tmp_path: Path) -> None:
    seen: list[bool] = []

    def look(image: Any, rng: Any = None) -> Any:
        seen.append(274 in image.getexif())
        return image

    exif = Image.Exif()
    exif[274] = 3
    Image.new("RGB", (8, 8)).save(tmp_path / "turned.jpg", exif=exif)
    options = {"p": 1} if wrap is augment.RandomApply else {}
    images = rb.ImageFileAccessor(
        [tmp_path / "turned.jpg"], (8, 8), transform=wrap([look], **options)
    )
    assert images[np.array([0])].shape == (1, 8, 8, 3)
    assert seen == [True]

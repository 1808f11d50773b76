"""Encoded images in any container of bytes: the pixels are those of the files."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pyarrow as pa
import pytest
import zarr

import raybatch as rb
from raybatch.errors import SampleReadError
from raybatch.image import augment
from raybatch.stores.local_files import FileVersion
from raybatch.stores.location import Locations
from raybatch.stores.shard_members import Members
from tests.stores.parquet_photos import KINDS, contents

SIZE = (16, 24)
ALL = np.arange(40)


def hugging_face(images: list[bytes], folder: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": image, "path": None} for image in images]}
    )
    return rows.cast_column("image", datasets.Image(decode=False))["image"]


def hdf5(images: list[bytes], folder: Path) -> Any:
    file = h5py.File(folder / "images.h5", "w")
    stored = file.create_dataset("image", (len(images),), h5py.vlen_dtype(np.uint8))
    for number, image in enumerate(images):
        stored[number] = np.frombuffer(image, np.uint8)
    file.close()
    return h5py.File(folder / "images.h5", "r")["image"]


def zarr_bytes(images: list[bytes], folder: Path) -> Any:
    dtypes = pytest.importorskip("zarr.core.dtype")  # in zarr 3 only
    stored = zarr.create_array(
        folder / "images.zarr",
        shape=(len(images),),
        dtype=dtypes.VariableLengthBytes(),
        zarr_format=2,
    )
    stored[:] = np.array(images, object)
    return stored


def chunks(images: list[bytes], folder: Path) -> Any:
    return pa.chunked_array([images[:7], images[7:]], pa.binary())


def arrow(kind: Callable[[list[bytes]], Any], images: list[bytes], folder: Path) -> Any:
    return kind(images)


GIVEN: dict[str, Callable[[list[bytes], Path], Any]] = {
    "list": lambda images, folder: images,
    "arrays": lambda images, folder: [np.frombuffer(image, np.uint8) for image in images],
    "dicts": lambda images, folder: [{"bytes": image, "label": 1} for image in images],
    "mapping": lambda images, folder: {f"{row:02}": image for row, image in enumerate(images)},
    "views": lambda images, folder: pa.array(images, pa.binary_view()),
    "chunks": chunks,
    "fixed": lambda images, folder: np.array(images, "V9999"),
    "Hugging Face": hugging_face,
    "h5py": hdf5,
    "zarr": zarr_bytes,
    **{kind.__name__: partial(arrow, kind) for kind in KINDS},
}


@pytest.mark.parametrize("name", GIVEN)
def test_the_pixels_are_those_of_the_files(name: str, photos: list[str], tmp_path: Path) -> None:
    items = GIVEN[name](contents(photos), tmp_path)
    change = augment.RandomCrop(20)
    wanted = rb.ImageFileAccessor(photos, SIZE)[ALL]
    images = rb.EncodedImageAccessor(items, SIZE)
    assert len(images) == 40
    np.testing.assert_array_equal(images[ALL], wanted)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(images))[ALL[::-1]], wanted[::-1])
    np.testing.assert_array_equal(
        rb.EncodedImageAccessor(items, transform=change, io_threads=3)[ALL],
        rb.ImageFileAccessor(photos, transform=change)[ALL],
    )
    varied = rb.EncodedImageAccessor(items)
    local = rb.NonUniformImageFileAccessor(photos)
    np.testing.assert_array_equal(varied[3], local[3])
    for image, position in zip(varied[ALL], ALL, strict=True):
        np.testing.assert_array_equal(image, local[int(position)])


def test_actors_read_items(photos: list[str], tmp_path: Path, actors: rb.RayActorPool) -> None:
    files = rb.ArrayDataSource([rb.ImageFileAccessor(photos, SIZE)])
    wanted = rb.stream_digest(files.batch_iterator(16, shuffle=1))
    for name in ("Hugging Face", "h5py", "zarr", "chunks"):
        items = GIVEN[name](contents(photos), tmp_path)
        source = rb.ArrayDataSource([rb.EncodedImageAccessor(items, SIZE)])
        with rb.Loader(source, 16, shuffle=1, pool=actors) as loader:
            assert rb.stream_digest(loader) == wanted


def test_null_bytes_are_read_from_the_path_and_nulls_are_bad_samples(photos: list[str]) -> None:
    rows = [{"bytes": None, "path": photos[0]}, {"bytes": None, "path": None}, None]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    wanted = rb.ImageFileAccessor(photos[:1], SIZE)[0]
    for items in (rows, pa.array(rows, kind)):
        images = rb.EncodedImageAccessor(items, SIZE)
        np.testing.assert_array_equal(images[0], wanted)
        assert images.name_of(0) == f"items[0] ({photos[0]})"
        for position in (1, 2):
            with pytest.raises(SampleReadError, match=rf"items\[{position}\].*is null"):
                images[position]
        loader = rb.Loader(rb.ArrayDataSource([images]), 3, bad_samples="skip")
        assert [len(x) for (x,) in loader] == [1]


def test_what_gives_no_bytes_is_refused(photos: list[str]) -> None:
    for items, message in (
        (photos, "an ImageFileAccessor takes paths"),
        ([3], "must give bytes, and this is a <class 'int'>"),
        (rb.NonUniformImageFileAccessor(photos), "decode=False"),
        ([{"jpg": b""}], "no 'bytes' in the item, which has .'jpg'.: name the field of the bytes"),
    ):
        with pytest.raises(SampleReadError, match=message) as caught:
            rb.EncodedImageAccessor(items, SIZE)[0]
        assert isinstance(caught.value.__cause__, (TypeError, KeyError))
    with pytest.raises(TypeError, match="Arrow array of int64"):
        rb.EncodedImageAccessor(pa.array([1]), SIZE)
    with pytest.raises(TypeError, match="must have a length"):
        rb.EncodedImageAccessor(3, SIZE)
    with pytest.raises(ValueError, match="a layout needs arrays of one size"):
        rb.EncodedImageAccessor([b""], layout=rb.PixelLayout(channels_first=True))


def test_a_field_of_another_name(photos: list[str]) -> None:
    items = [{"jpg": image} for image in contents(photos)]
    images = rb.EncodedImageAccessor(items, SIZE, field="jpg")
    np.testing.assert_array_equal(images[ALL], rb.ImageFileAccessor(photos, SIZE)[ALL])


def with_memory(batch: Any) -> Any:
    """Return the private memory of this process in bytes, for each row."""
    return (np.full(len(batch), psutil.Process(os.getpid()).memory_full_info().uss),)


def test_a_million_members_cost_an_actor_less_than_10_mb(
    photos: list[str], actors: rb.RayActorPool
) -> None:
    version = FileVersion(os.stat(photos[0]).st_size, str(os.stat(photos[0]).st_mtime_ns))

    def largest(count: int) -> int:
        place = (
            np.zeros(count, np.int64),
            np.full(count, version.size),
            np.full(count, -1, np.int8),
        )
        keys = pa.array(np.arange(count)).cast(pa.string())
        starts = np.array([0, count])
        store = Members(Locations(photos[:1]), [version], starts, place, keys, "jpg")
        order = np.arange(0, count, count // 64)
        sampler = rb.SubsetSampler(order)
        source = rb.ArrayDataSource([rb.EncodedImageAccessor(store, SIZE)], sampler=sampler).map(
            with_memory
        )
        with rb.Loader(source, 8, shuffle=1, pool=actors) as loader:
            return max(int(sizes.max()) for (sizes,) in loader)

    largest(1000)
    assert largest(1_000_000) - largest(1000) < 10_000_000

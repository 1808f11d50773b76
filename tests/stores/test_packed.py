"""Packed files: their content, how they are read, and how damage is reported."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest
from PIL import Image

import raybatch as rb
from raybatch.errors import BadSamplesError, BatchError, PackError
from raybatch.image import augment
from raybatch.packing.packed_folder import verify
from tests.cli.commands import run

SIZE = (12, 16)
LABELS = (np.arange(40) % 2).astype(np.int32)


def photo_source(photos: list[str], **options: Any) -> rb.ArrayDataSource:
    return rb.ArrayDataSource([rb.ImageFileAccessor(photos, SIZE), LABELS], **options)


@pytest.fixture
def packed(photos: list[str], tmp_path: Path) -> Path:
    """The photos in three packed files of 16, 16 and 8 rows."""
    folder = tmp_path / "packed"
    done = rb.pack(
        photo_source(photos), folder, batch_size=8, rows_per_file=15, classes=["dog", "cat"]
    )
    assert (done.rows, done.files_written, len(done.bad_samples)) == (40, 3, 0)
    return folder


def arrow_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.arrow"))


def test_any_arrow_tool_opens_the_files(photos: list[str], packed: Path) -> None:
    files = arrow_files(packed)
    assert [path.name for path in files] == [f"0000{n}-of-00003.arrow" for n in range(3)]
    pixels = rb.ImageFileAccessor(photos, SIZE)[np.arange(40)]
    rows = []
    for path in files:
        with pa.memory_map(str(path)) as source:
            whole = source.read_buffer()
            reader = pa.ipc.open_file(whole)
            assert reader.num_record_batches == 1
            batch = reader.get_batch(0)
            assert batch.schema.field("image").type == pa.fixed_shape_tensor(pa.uint8(), (*SIZE, 3))
            assert batch.schema.field("label").type == pa.int32()
            start = batch["image"].storage.buffers()[2].address - whole.address
            assert start % 64 == 0
            rows.append(batch["image"].to_numpy_ndarray())
    assert [len(part) for part in rows] == [16, 16, 8]
    np.testing.assert_array_equal(np.concatenate(rows), pixels)
    table = pa.dataset.dataset(packed, format="ipc").to_table()
    assert table["label"].to_pylist() == LABELS.tolist()
    assert table["image"].combine_chunks().to_numpy_ndarray().tobytes() == pixels.tobytes()


@pytest.mark.parametrize("length", range(1, 30, 3))
def test_pixels_lie_at_multiples_of_64_bytes(tmp_path: Path, length: int) -> None:
    rows = np.ones((5, 2, 3), np.float32)
    rb.pack(rb.ArrayDataSource([rows]), tmp_path, names=["x" * length], classes=["a"])
    (path,) = arrow_files(tmp_path)
    with pa.memory_map(str(path)) as source:
        whole = source.read_buffer()
        column = pa.ipc.open_file(whole).get_batch(0).column(0)
        assert (column.storage.buffers()[2].address - whole.address) % 64 == 0


def test_the_accessor_gives_what_was_packed(photos: list[str], packed: Path) -> None:
    images = rb.PackedAccessor(packed)
    pixels = rb.ImageFileAccessor(photos, SIZE)[np.arange(40)]
    assert (images.shape, images.dtype, len(images)) == (pixels.shape, pixels.dtype, 40)
    assert (images.columns, images.classes) == (["image", "label"], ["dog", "cat"])
    order = np.random.default_rng(0).integers(-40, 40, size=100)  # repeated, and from the end
    batch = images[order]
    np.testing.assert_array_equal(batch, pixels[order])
    batch[:] = 0  # the batch is a copy
    np.testing.assert_array_equal(images[-1], pixels[-1])
    assert not images[-1].flags.writeable
    assert images[np.arange(0)].shape == (0, *SIZE, 3)
    labels = images.column("label")
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, LABELS)
    with pytest.raises(IndexError, match="40 is out of range"):
        images[40]
    with pytest.raises(ValueError, match=r"no column 'mask'; there are \['image', 'label'\]"):
        images.column("mask")
    with pytest.raises(ValueError, match=r"are not arrays: use \.column"):
        rb.PackedAccessor(packed, "label")


def test_views_copy_nothing(packed: Path) -> None:
    views = rb.PackedAccessor(packed, views=True)[np.array([3, 20, 3])]
    assert isinstance(views, list)
    whole = rb.PackedAccessor(packed)
    for view, row in zip(views, (3, 20, 3), strict=True):
        assert not view.flags.writeable
        assert not view.flags.owndata
        np.testing.assert_array_equal(view, whole[row])
    assert np.shares_memory(views[0], views[2])


def test_a_crop_of_views_is_that_of_the_stack(packed: Path, actors: rb.RayActorPool) -> None:
    def cropped(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        return augment.RandomCrop((8, 9))(x, rng=rng), y

    digests = set()
    for views in (False, True):
        images = rb.PackedAccessor(packed, views=views)
        source = rb.ArrayDataSource([images, images.column("label")]).map_samples(cropped)
        assert next(source.batch_iterator(8))[0].shape == (8, 8, 9, 3)
        digests.add(rb.stream_digest(rb.Loader(source, 8, shuffle=1)))
        with rb.Loader(source, 8, shuffle=1, pool=actors) as loader:
            digests.add(rb.stream_digest(loader))
    assert len(digests) == 1


def test_a_cache_tells_transforms_and_layouts_apart(packed: Path, tmp_path: Path) -> None:
    blurred = augment.Compose([augment.Resize((6, 8)), augment.Resize(SIZE)])
    layouts = [rb.PixelLayout(mean=(mean,) * 3, std=(1.0,) * 3) for mean in (0.0, 0.5)]
    every: list[dict[str, Any]] = [
        {},
        {"transform": blurred},
        *({"layout": one} for one in layouts),
    ]
    for settings in every:
        images = rb.PackedAccessor(packed, **settings)
        cached = rb.CachedAccessor(images, tmp_path / "cache", 10**8)
        np.testing.assert_array_equal(cached[np.arange(40)], images[np.arange(40)])


def test_it_is_pickled_as_its_path(photos: list[str], packed: Path) -> None:
    images = rb.PackedAccessor(packed)
    before = images[np.arange(40)]
    for views in (False, True):
        data = pickle.dumps(rb.PackedAccessor(packed, views=views))
        assert len(data) < 500
        np.testing.assert_array_equal(np.stack(pickle.loads(data)[np.arange(40)]), before)


def columns() -> dict[str, Any]:
    """Return arrays of every kind that a column may have, with 6 rows each."""
    times = np.array(["2024-01-01", "1969-07-20"] * 3, "datetime64[us]")
    return {
        "bytes": np.arange(36, dtype=np.uint8).reshape(6, 2, 3),
        "masks": np.arange(24).reshape(6, 4) % 3 == 0,
        "floats": np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2),
        "halves": np.ones((6, 3), np.float16),
        "big endian": np.arange(12, dtype=">i4").reshape(6, 2),
        "number": np.arange(6, dtype=np.int64),
        "flag": np.arange(6) % 2 == 0,
        "text": np.array(["a", "bcd", "", "ä", "x" * 40, "e"]),
        "time": times,
    }


def test_columns_of_every_kind(tmp_path: Path) -> None:
    arrays = columns()
    source = rb.ArrayDataSource(list(arrays.values()))
    rb.pack(source, tmp_path / "out", names=list(arrays), batch_size=4, rows_per_file=4)
    first = rb.PackedAccessor(tmp_path / "out")
    assert not list(verify(tmp_path / "out"))
    for name, array in arrays.items():
        own = first.column(name)
        read = own[np.arange(6)] if array.ndim > 1 else own
        np.testing.assert_array_equal(read, array, err_msg=name)
        assert read.dtype == array.dtype.newbyteorder("=")
    assert isinstance(first.column("masks"), rb.PackedAccessor)


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ([np.arange(4)], {"names": ["a", "b"]}, ValueError, "names must be 1 different names"),
        ([np.arange(4), np.arange(4)], {"names": ["a", "a"]}, ValueError, "2 different"),
        ([np.ones((4, 2), complex)], {}, TypeError, "'image', of complex128 and shape"),
        ([np.ones(4)], {"rows_per_file": 0}, ValueError, "rows_per_file must be 1 or more, not 0"),
        ([np.ones(0)], {}, ValueError, "no samples"),
        ([np.ones(4)], {"names": [0]}, TypeError, r"names must be a list of strings, not \[0\]"),
        ([np.ones(4)], {"classes": "ab"}, TypeError, "classes must be a list of strings, not 'ab'"),
        (
            [np.array(["a\udc80"])],
            {},
            ValueError,
            r"'image' has 'a\\udc80', which is not valid text",
        ),
    ],
)
def test_what_cannot_be_packed_says_why(
    arrays: Any, options: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        rb.pack(rb.ArrayDataSource(arrays), tmp_path / "out", **options)
    assert not arrow_files(tmp_path / "out")


def test_images_of_many_sizes_are_refused(photos: list[str], tmp_path: Path) -> None:
    varied = rb.ArrayDataSource([rb.NonUniformImageFileAccessor(photos)])
    with pytest.raises(TypeError, match="'image' is a list, not an array"):
        rb.pack(varied, tmp_path / "a")
    stored = rb.ArrayDataSource([rb.ImageFileAccessor(photos)])
    with pytest.raises(ValueError, match=r"'image' is .* of shape .* in a batch, but was"):
        rb.pack(stored, tmp_path / "b", batch_size=1)
    with pytest.raises(TypeError, match="has no end"):
        rb.pack(photo_source(photos, repeats=-1), tmp_path / "c")


def with_bad_ones(photos: list[str], folder: Path) -> rb.ArrayDataSource:
    """Return the photos; two are broken in the second batch of 8, and all of the third batch."""
    paths = list(photos)
    for row in (9, 12, *range(16, 24)):
        broken = folder / f"broken_{row}.jpg"
        broken.write_bytes(b"not an image")
        paths[row] = str(broken)
    return photo_source(paths)


@pytest.mark.parametrize("is_pooled", [False, True])
def test_bad_samples_are_left_out_and_listed(
    photos: list[str], tmp_path: Path, actors: rb.RayActorPool, is_pooled: bool
) -> None:
    source, out = with_bad_ones(photos, tmp_path), tmp_path / "out"
    with pytest.raises(BatchError, match=r"sample 9, .*broken_9\.jpg"):
        rb.pack(source, out, batch_size=8, rows_per_file=8)
    assert len(arrow_files(out)) == 1  # the file of the first batch
    with rb.ThreadPool(1) as threads:
        pool = actors if is_pooled else threads
        done = rb.pack(source, out, batch_size=8, rows_per_file=8, bad_samples="skip", pool=pool)
    bad = [9, 12, *range(16, 24)]
    assert (done.rows, done.files_written) == (30, 4)
    assert [sample.index for sample in done.bad_samples] == bad
    assert done.bad_samples[0].path.endswith("broken_9.jpg")
    good = np.delete(np.arange(40), bad)
    images = rb.PackedAccessor(out)
    np.testing.assert_array_equal(images[np.arange(30)], rb.ImageFileAccessor(photos, SIZE)[good])
    np.testing.assert_array_equal(images.column("label"), LABELS[good])
    assert not list(verify(out))
    again = rb.pack(source, out, batch_size=8, bad_samples="skip")
    assert (list(again.bad_samples), again.files_written) == (list(done.bad_samples), 0)
    # A file without rows, between files with rows, is made again.
    before = [path.read_bytes() for path in arrow_files(out)]
    arrow_files(out)[2].unlink()
    assert rb.pack(source, out, batch_size=8, bad_samples="skip").files_written == 1
    assert [path.read_bytes() for path in arrow_files(out)] == before
    with pytest.raises(PackError, match="with bad_samples 'skip', but now it is 'raise'"):
        rb.pack(source, out, batch_size=8)


def test_nothing_but_bad_samples_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not an image")
    source = rb.ArrayDataSource([rb.ImageFileAccessor([tmp_path / "a.jpg"] * 3, SIZE)])
    with pytest.raises(BadSamplesError, match="no sample of the source can be read"):
        rb.pack(source, tmp_path / "out", bad_samples="skip")


def damages() -> Iterator[tuple[str, Any, str]]:
    def flipped(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    yield "a flipped bit", flipped, r"its CRC-32 is [0-9a-f]{8} instead of [0-9a-f]{8}"
    yield "truncated", lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"
    yield "missing", Path.unlink, "is missing"


@pytest.mark.parametrize(
    ("what", "damage", "reason"), [pytest.param(*d, id=d[0]) for d in damages()]
)
def test_damage_is_found_and_mended(
    photos: list[str], packed: Path, what: str, damage: Any, reason: str
) -> None:
    assert not list(verify(packed))
    before = [path.read_bytes() for path in arrow_files(packed)]
    damage(packed / "00001-of-00003.arrow")
    (fault,) = verify(packed)
    assert Path(fault.path).name == "00001-of-00003.arrow"
    assert re.search(reason, fault.reason)
    if what == "a flipped bit":
        rb.PackedAccessor(packed)
        (packed / "00001-of-00003.arrow").unlink()
    with pytest.raises(PackError, match=r"00001-of-00003\.arrow' is damaged: "):
        rb.PackedAccessor(packed)
    done = rb.pack(photo_source(photos), packed, batch_size=8, classes=["dog", "cat"])
    assert done.files_written == 1
    assert [path.read_bytes() for path in arrow_files(packed)] == before
    assert not list(verify(packed))


def test_a_file_of_other_types_is_damaged(packed: Path) -> None:
    path = arrow_files(packed)[0]
    data = path.read_bytes()
    int32 = pa.ipc.open_file(data).get_batch(0)
    other = int32.set_column(1, "label", int32["label"].cast(pa.float32()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, other.schema) as writer:
        writer.write_batch(other)
    changed = sink.getvalue().to_pybytes()
    path.write_bytes(changed)
    manifest = packed / "_manifest.json"
    manifest.write_text(
        manifest.read_text().replace(f'"nbytes": {len(data)}', f'"nbytes": {len(changed)}', 1)
    )
    images = rb.PackedAccessor(packed)
    with pytest.raises(PackError, match=r"00000-of-00003\.arrow' is damaged: it has 16 rows of "):
        images[0]


@pytest.mark.parametrize("what", [b"ARROW1", b"label"])
def test_damage_that_arrow_stumbles_over_names_the_file(packed: Path, what: bytes) -> None:
    path = arrow_files(packed)[0]
    data = bytearray(path.read_bytes())
    data[data.rindex(what)] ^= 0xFF
    path.write_bytes(data)
    images = rb.PackedAccessor(packed)
    with pytest.raises(PackError, match=r"00000-of-00003\.arrow' is damaged: "):
        images[0]


def test_all_rows_may_go_into_one_file(tmp_path: Path) -> None:
    source = rb.ArrayDataSource([np.arange(40.0)])
    done = rb.pack(source, tmp_path, batch_size=16, rows_per_file=np.int64(10**15))  # type: ignore[arg-type]
    assert (done.rows, done.files_written) == (40, 1)


def test_a_file_that_shrinks_after_the_accessor_was_made_is_an_error(packed: Path) -> None:
    images = rb.PackedAccessor(packed)
    images[0]
    path = packed / "00002-of-00003.arrow"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PackError, match="is damaged: it has 100 bytes"):
        images[39]


def test_what_is_no_packed_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no _manifest\.json"):
        rb.PackedAccessor(tmp_path)
    (tmp_path / "_manifest.json").write_text("{}")
    with pytest.raises(PackError, match="is not a manifest of packed files"):
        rb.PackedAccessor(tmp_path)


def test_the_command(photos: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for path in photos:
        (folder / Path(path).name).write_bytes(Path(path).read_bytes())
    options = ["--size", "12x16", "--rows-per-file", "30", "--batch-size", "10"]
    told = run("pack", "in", "out", *options, "--actors", "0", folder=tmp_path).stdout
    assert "40 images" in told
    assert "2 files written" in told
    images = rb.PackedAccessor(tmp_path / "out")
    assert images.classes == ["cat", "dog"]
    paths = sorted(str(path) for path in folder.iterdir())
    np.testing.assert_array_equal(
        images[np.arange(40)], rb.ImageFileAccessor(paths, SIZE)[np.arange(40)]
    )
    assert images.column("label").tolist() == [0] * 20 + [1] * 20
    assert "all checksums are right" in run("scan", "out", folder=tmp_path).stdout
    Image.new("RGB", (9, 9)).save(folder / "cat_00.png")
    error = run("pack", "in", "out", *options, "--actors", "0", folder=tmp_path, status=2).stderr
    assert "was packed with samples 40, but now it is 41" in error
    (folder / "cat_00.png").write_bytes(b"no")
    options += ["--bad-samples", "skip", "--json", "--actors", "0"]
    result = run("pack", "in", "new", *options, folder=tmp_path, status=1)
    assert '"rows": 40' in result.stdout
    assert "cat_00.png" in result.stdout
    file = arrow_files(tmp_path / "new")[0]
    file.write_bytes(file.read_bytes()[:-1])
    assert file.name in run("scan", "new", folder=tmp_path, status=1).stdout


def test_a_column_of_truth_values_is_flipped_and_other_kinds_are_refused(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).integers(0, 2, (3, *SIZE)).astype(bool)
    rb.pack(rb.ArrayDataSource({"mask": masks}), tmp_path / "masks")
    flip = augment.RandomHorizontalFlip(p=1)
    flipped = rb.PackedAccessor(tmp_path / "masks", transform=flip)
    np.testing.assert_array_equal(flipped[np.arange(3)], masks[:, :, ::-1])
    rb.pack(rb.ArrayDataSource({"heat": masks.astype(np.float64)}), tmp_path / "heat")
    with pytest.raises(ValueError, match=r"transform and layout are for images, .* has <f8"):
        rb.PackedAccessor(tmp_path / "heat", transform=flip)

"""Tar and zip shards: their members, their index, and the same batches as from files."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from threading import Barrier
from typing import Any, cast

import numpy as np
import pytest

import raybatch as rb
from raybatch.accessors import shards as shards_module
from raybatch.errors import SampleReadError, StorageError
from raybatch.stores import local_files
from raybatch.stores.tar_headers import tar_members
from tests.pools.test_forks import in_fork
from tests.stores.shard_files import PER_SHARD, samples, write_shards, write_tar, write_zip

SIZE = (16, 24)
ALL = np.arange(40)
BAD = [5, 20, 21]


@pytest.fixture(scope="module")
def damaged(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Paths of the photos, three of which are replaced by files that are not images."""
    folder = tmp_path_factory.mktemp("damaged")
    paths = list(photos)
    for number in BAD:
        paths[number] = str(folder / f"{number}.jpg")
        Path(paths[number]).write_bytes(b"no image")
    return paths


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tar files whose headers are read from now on, each by the name of its first member."""
    seen: list[str] = []

    def counted(file: Any) -> Iterator[Any]:
        members = list(tar_members(file))
        seen.append(members[0][0])
        return iter(members)

    monkeypatch.setattr(shards_module.TarShards, "_kind", (".tar", counted))
    return seen


KINDS = {
    "tar": (rb.TarShards, ".tar", {}),
    "ustar": (rb.TarShards, ".tar", {"kind": tarfile.USTAR_FORMAT}),
    "stored": (rb.ZipShards, ".zip", {"method": zipfile.ZIP_STORED}),
    "deflated": (rb.ZipShards, ".zip", {"method": zipfile.ZIP_DEFLATED}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_shards_give_the_stream_of_the_files_with_bad_samples_among_them(
    kind: str, damaged: list[str], tmp_path: Path, actors: rb.RayActorPool
) -> None:
    shards_of, suffix, how = KINDS[kind]
    shards = shards_of(write_shards(tmp_path, damaged, suffix, **how))
    stored = rb.ArrayDataSource([shards.images("png;jpg", SIZE), shards.column("cls")])
    files = rb.ArrayDataSource([rb.ImageFileAccessor(damaged, SIZE), ALL])
    policy = rb.BadSamples("skip", limit=None)
    settings: dict[str, Any] = {"shuffle": 3, "bad_samples": policy}
    with (
        rb.Loader(files, 8, **settings) as of_files,
        rb.Loader(stored, 8, **settings, pool=actors) as of_shards,
    ):
        assert rb.stream_digest(of_shards) == rb.stream_digest(of_files)
        bad = {(sample.index, sample.path) for sample in of_shards.bad_samples}
    folder = tmp_path / "00"
    assert bad == {
        (number, f"{folder}{number // PER_SHARD}{suffix}[{number:06}.jpg]") for number in BAD
    }


NAMES = {
    "a.jpg": b"1" * 511,
    "b.jpg": b"2" * 512,
    "c.jpg": b"3" * 513,
    "d.jpg": b"",
    "long/" * 18 + "e.jpg": b"5",  # fits a plain header
    "long/" * 30 + "f.jpg": b"6",  # needs a second field
    "long/" * 60 + "g.jpg": b"7",  # needs a header of its own
    "Grüße/h.jpg": b"8" * 2000,
    "x" * 99 + ".jpg": b"9",
}


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_that_tarfile_finds(kind: int, tmp_path: Path) -> None:
    names = {name: data for name, data in NAMES.items() if kind or len(name) < 256}
    names = {name: data for name, data in names.items() if kind or not name.startswith("x")}
    path = tmp_path / "all.tar"
    write_tar(path, names, kind=kind)
    with tarfile.open(path, "a", format=kind) as tar:
        for name, what in [("folder", tarfile.DIRTYPE), ("link.jpg", tarfile.SYMTYPE)]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = what, "a.jpg"
            tar.addfile(info)
    with tarfile.open(path) as tar:
        found = [(info.name, info.offset_data, info.size) for info in tar if info.isreg()]
    with path.open("rb") as file:
        members = list(tar_members(file))
    assert [member[:3] for member in members if not isinstance(member, str)] == found
    assert [member for member in members if isinstance(member, str)] == ["link.jpg"]
    stored = rb.TarShards(path, index=tmp_path / "index.arrow").bytes("jpg")
    assert stored[np.arange(len(names))] == list(names.values())


# WebDataset leaves the file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tars_of_webdatasets_writer(photos: list[str], tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    path = str(tmp_path / "photos.tar")
    with webdataset.TarWriter(path) as writer:
        for number, photo in enumerate(photos):
            fields = {"jpg": Path(photo).read_bytes(), "cls": number, "json": {"caption": "Tür"}}
            writer.write({"__key__": f"a.b/{number}", **fields})
    theirs = list(webdataset.WebDataset(path, shardshuffle=False))
    shards = rb.TarShards(path)
    assert list(shards.keys) == [sample["__key__"] for sample in theirs]
    assert shards.bytes("jpg")[ALL] == [sample["jpg"] for sample in theirs]
    assert shards.column("cls").tolist() == [int(sample["cls"]) for sample in theirs]
    assert shards.json("caption")[ALL] == ["Tür"] * 40


def test_keys_are_those_of_webdataset(tmp_path: Path) -> None:
    names = ["./v1.0/a.seg.PNG", "./v1.0/a.jpg", "b.jpg", "b.seg.png", "__meta__", "README"]
    path = write_tar(tmp_path / "a.tar", dict.fromkeys([*names, "._b.jpg"], b"x"))
    shards = rb.TarShards(path)
    assert list(shards.keys) == ["./v1.0/a", "b"]
    assert shards.extensions == {"seg.png": 2, "jpg": 2}


def test_sparse_files_and_links_are_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "hole.jpg").open("wb") as file:
        file.truncate(10**6)
        file.seek(0, os.SEEK_END)
        file.write(b"end")
    (tmp_path / "whole.jpg").write_bytes(b"whole")
    names = "hole.jpg whole.jpg"
    assert os.system(f"cd {tmp_path} && tar --sparse -cf all.tar {names}") == 0
    shards = rb.TarShards(tmp_path / "all.tar")
    assert (list(shards.keys), shards.bytes("jpg")[0]) == (["whole"], b"whole")
    assert "1 files that are links or sparse" in capsys.readouterr().err


REFUSED: dict[str, Callable[[bytes], bytes]] = {
    "gzip, so.*gunzip": lambda data: gzip.compress(data),
    "cut off in its member '000001.jpg'": lambda data: data[:7000],
    "not a tar file": lambda data: b"not a tar file" * 100,
    "damaged at byte \\d+": lambda data: data[:4608] + b"x" * 512 + data[5120:],
    "empty": lambda data: b"",
    "more members follow there": lambda data: data + data,
    # The sizes below 0 lead back to a header that was read before.
    "byte 0.*size of 'a.jpg' is -512": lambda data: tar_header(-512, b"0") + data,
    "byte 0.*size of 'a.jpg' is -1024": lambda data: tar_header(-1024, b"Z") + data,
}


def tar_header(size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo("a.jpg")
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_sound_tar_file_is_refused(message: str, tmp_path: Path) -> None:
    path = Path(write_tar(tmp_path / "a.tar", {f"{n:06}.jpg": b"x" * 3000 for n in range(3)}))
    path.write_bytes(REFUSED[message](path.read_bytes()))
    with pytest.raises(StorageError, match=message) as caught:
        rb.TarShards(path)
    assert "a.tar" in str(caught.value)


def test_a_tar_file_without_its_last_blocks_is_whole(tmp_path: Path) -> None:
    path = Path(write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 512}))
    path.write_bytes(path.read_bytes()[: 4 * 512])
    assert rb.TarShards(path).bytes("jpg")[0] == b"x" * 512


def test_two_members_of_one_name_are_an_error(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"1", "a.JPG": b"2"})
    with pytest.raises(StorageError, match=r"two members are called a\.jpg"):
        rb.TarShards(path)


def test_the_index_is_made_once_and_mended_where_a_shard_has_changed(
    photos: list[str], tmp_path: Path, scans: list[str]
) -> None:
    pattern = write_shards(tmp_path, photos)
    first = rb.TarShards(pattern)
    assert sorted(scans) == ["000000.jpg", "000014.jpg", "000028.jpg"]
    again = rb.TarShards(pattern)
    assert len(scans) == 3
    assert list(again.keys) == list(first.keys)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    pattern = pattern.replace(str(tmp_path), str(moved))
    rb.TarShards(pattern)
    assert len(scans) == 3
    write_tar(moved / "001.tar", samples(photos[:2], 90))
    changed = rb.TarShards(pattern)
    assert scans[3:] == ["000090.jpg"]
    assert changed.shard_lengths.tolist() == [14, 2, 12]
    assert changed.column("cls").tolist() == [*range(14), 90, 91, *range(28, 40)]


def test_an_index_elsewhere_and_one_that_is_none(
    photos: list[str], tmp_path: Path, scans: list[str]
) -> None:
    (tmp_path / "shards").mkdir()
    pattern = write_shards(tmp_path / "shards", photos)
    index = tmp_path / "index.arrow"
    index.write_bytes(b"no index")
    for _ in range(2):
        assert len(rb.TarShards(pattern, index=index)) == 40
    assert len(scans) == 3
    assert len(list((tmp_path / "shards").iterdir())) == 3


def test_an_index_that_cannot_be_saved_is_told(
    photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern = write_shards(tmp_path, photos)
    assert len(rb.TarShards(pattern, index="/proc/index.arrow")) == 40
    assert "cannot be saved" in capsys.readouterr().err


def test_a_shard_that_changes_after_it_was_listed_is_no_bad_sample(
    photos: list[str], tmp_path: Path
) -> None:
    images = rb.TarShards(write_shards(tmp_path, photos)).images("jpg", SIZE)
    write_tar(tmp_path / "000.tar", samples(photos[:3]))  # overwrites the file, which is still open
    with pytest.raises(SampleReadError, match="has changed since") as caught:
        images[0]
    assert isinstance(caught.value.__cause__, StorageError)
    (tmp_path / "001.tar").unlink()
    local_files._opened.cache_clear()  # like a process that has not opened the file
    with pytest.raises(SampleReadError, match="FileNotFoundError") as caught:
        images[20]
    assert isinstance(caught.value.__cause__, StorageError)


def test_a_column_of_images_says_what_to_use(photos: list[str], tmp_path: Path) -> None:
    shards = rb.TarShards(write_shards(tmp_path, photos))
    assert (shards.keys[0], shards.keys[np.array([2, 1])]) == ("000000", ["000002", "000001"])
    with pytest.raises(
        ValueError, match=r"not text: shards\.images\('jpg'\) decodes images, shards\.bytes"
    ):
        shards.column("jpg")


def test_samples_that_lack_a_member(
    photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = samples(photos)
    del members["000003.cls"], members["000030.cls"], members["000031.jpg"]
    path = write_tar(tmp_path / "a.tar", members)
    shards = rb.TarShards(path)
    lacking = "2 of 40 samples have no member 'cls', the first is 000003"
    for make in (
        partial(shards.column, "cls"),
        partial(rb.TarShards, path, members=("jpg", "cls")),
    ):
        with pytest.raises(ValueError, match=r"of 40 samples have no member"):
            make()
    with pytest.raises(ValueError, match=lacking + ".*missing='drop'"):
        shards.column("cls")
    with pytest.raises(ValueError, match=r"40 of 40 .* 'png'.* are \{'jpg': 39, 'cls': 38\}$"):
        shards.column("png")  # to drop all samples is no cure
    whole = rb.TarShards(path, members=("jpg", "cls"), missing="drop")
    assert "3 samples that lack one of the members ('jpg', 'cls'); the first is 000003" in (
        capsys.readouterr().err
    )
    left = [number for number in range(40) if number not in (3, 30, 31)]
    assert whole.column("cls").tolist() == left
    assert [int(key) for key in whole.keys] == left
    assert (len(whole), whole.shard_lengths.tolist()) == (37, [37])
    wanted = rb.ImageFileAccessor([photos[number] for number in left], SIZE)
    np.testing.assert_array_equal(whole.images("jpg", SIZE)[np.arange(37)], wanted[np.arange(37)])


def test_a_member_is_named_by_the_extension_that_it_has(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"0.jpg": b"no image", "1.png": b"neither"})
    images = pickle.loads(pickle.dumps(rb.TarShards(path).images("jpg;png", SIZE)))
    for row, name in enumerate(("0.jpg", "1.png")):
        assert images.name_of(row) == f"{path}[{name}]"
        with pytest.raises(SampleReadError, match=rf"\[{name}\]"):
            images[row]


def test_columns_of_numbers_of_texts_and_of_json(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for number in range(3):
        about = {
            "caption": f"cat {number}",
            "width": number,
            "boxes": [[number]],
            "null": None,
            "mixed": number or "none",
            "long": "x" * 600,  # too long for the index
        }
        members |= {
            f"{number}.cls": f"{number}\n".encode(),
            f"{number}.txt": f"{number} Türen".encode(),
            f"{number}.score": f"{number}.5".encode(),
            f"{number}.json": json.dumps(about).encode(),
        }
    shards = rb.TarShards(write_tar(tmp_path / "a.tar", members))
    assert shards.column("cls").dtype == np.int64
    assert shards.column("cls").tolist() == [0, 1, 2]
    texts = pickle.loads(pickle.dumps(shards.column("txt")))
    assert (texts[0], texts[np.array([2, -2])]) == ("0 Türen", ["2 Türen", "1 Türen"])
    assert shards.column("score", np.float32).tolist() == [0.5, 1.5, 2.5]
    assert shards.json("caption")[np.arange(3)] == ["cat 0", "cat 1", "cat 2"]
    assert shards.json("width").tolist() == [0, 1, 2]
    assert shards.json("boxes")[np.array([1, 2])].values.tolist() == [[1], [2]]
    assert shards.json()[2]["width"] == 2
    with pytest.raises(ValueError, match=r"a\.tar\[0\.txt\]"):
        shards.column("txt", int)
    for field, fault in {
        "none": "KeyError: 'none'",
        "null": "it is null",
        "mixed": "not of one kind",
    }.items():
        with pytest.raises(ValueError, match=fault):
            shards.json(field)


def test_a_block_shuffle_reads_a_few_shards_at_a_time(photos: list[str], tmp_path: Path) -> None:
    shards = rb.TarShards(write_shards(tmp_path, photos))
    sampler = rb.BlockShuffleSampler(shards.shard_lengths, window=1)
    source = rb.ArrayDataSource([shards.column("cls")], sampler=sampler)
    order = np.concatenate([y for (y,) in source.batch_iterator(14, shuffle=1)])
    assert sorted(order) == [*range(40)]
    assert np.count_nonzero(np.diff(order // PER_SHARD)) == 2


# If an earlier test has loaded JAX, JAX warns about every fork.
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
def test_shards_are_read_in_other_processes_and_with_few_descriptors(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        write_tar(tmp_path / f"{number:02}.tar", samples(photos[number : number + 1], number))
    images = rb.TarShards(tmp_path).images("jpg", SIZE)
    few = lru_cache(4)(local_files._opened.__wrapped__)
    monkeypatch.setattr(local_files, "_opened", few)
    before = len(os.listdir("/proc/self/fd"))
    wanted = images[ALL]
    assert len(os.listdir("/proc/self/fd")) <= before + 4
    np.testing.assert_array_equal(wanted, rb.ImageFileAccessor(photos, SIZE)[ALL])
    assert in_fork(lambda: np.array_equal(images[ALL], wanted))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(images))[ALL], wanted)


def test_a_shard_that_two_threads_open_at_once(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Barrier(2, timeout=30)

    class Together(local_files._OpenFile):
        def __init__(self, path: str) -> None:
            super().__init__(path)
            both.wait()

    stored = rb.TarShards(write_tar(tmp_path / "a.tar", samples(photos[:2]))).bytes("jpg")
    local_files._opened.cache_clear()
    monkeypatch.setattr(local_files, "_OpenFile", Together)
    with ThreadPoolExecutor(2) as executor:
        found = list(executor.map(stored.__getitem__, [0, 1]))
    assert found == [Path(photo).read_bytes() for photo in photos[:2]]


def test_a_zip_file_written_as_a_stream_and_one_with_a_long_field(
    photos: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    with path.open("wb") as file, zipfile.ZipFile(cast(Any, Unseekable(file)), "w") as archive:
        for name, data in samples(photos).items():
            info = zipfile.ZipInfo(name)
            info.extra = b"\xfe\xca" + (1000).to_bytes(2, "little") + bytes(1000)
            archive.writestr(info, data)
    images = rb.ZipShards(path).bytes("jpg")
    assert images[ALL] == [Path(photo).read_bytes() for photo in photos]


class Unseekable:
    """A file that can only be written, so sizes and checksums follow the bytes."""

    def __init__(self, file: Any) -> None:
        self.write, self.flush = file.write, file.flush


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_of_a_zip_file_is_a_bad_sample(method: int, tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "a.zip", {"a.jpg": bytes(range(200)), "b.jpg": b"b"}, method))
    data = bytearray(path.read_bytes())
    data[50] ^= 0xFF
    path.write_bytes(data)
    stored = rb.ZipShards(path).bytes("jpg")
    assert stored[1] == b"b"
    with pytest.raises(SampleReadError, match=r"a\.zip\[a\.jpg\].*damaged"):
        stored[0]


def test_a_damaged_member_of_a_zip_file_written_as_a_stream_is_a_bad_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with path.open("wb") as file, zipfile.ZipFile(cast(Any, Unseekable(file)), "w") as archive:
        archive.writestr("a.jpg", bytes(range(200)))
    data = bytearray(path.read_bytes())
    data[50] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SampleReadError, match=r"a\.zip\[a\.jpg\].*checksum is wrong"):
        rb.ZipShards(path).bytes("jpg")[0]


def test_links_in_zip_files_are_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("whole.jpg", b"whole")
        archive.writestr(link, "whole.jpg")
    assert list(rb.ZipShards(tmp_path / "a.zip").keys) == ["whole"]
    assert "1 files that are links" in capsys.readouterr().err


def test_zip_files_that_cannot_be_read_so_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.jpg": b"a"}, zipfile.ZIP_BZIP2)
    with pytest.raises(StorageError, match="neither stored nor deflated"):
        rb.ZipShards(path)
    (tmp_path / "b.zip").write_bytes(b"PK no zip")
    with pytest.raises(StorageError, match=r"b\.zip.*not a zip file"):
        rb.ZipShards(tmp_path / "b.zip")


def test_ways_to_name_shards(photos: list[str], tmp_path: Path) -> None:
    pattern = write_shards(tmp_path, photos)
    names = [str(tmp_path / f"{number:03}.tar") for number in range(3)]
    for given in (pattern, names, tmp_path, f"{tmp_path}/*.tar", f"{tmp_path}/{{000,001,002}}.tar"):
        assert len(rb.TarShards(given)) == 40
    with pytest.raises(ValueError, match="first number is above its last"):
        rb.TarShards(f"{tmp_path}/{{3..1}}.tar")
    with pytest.raises(FileNotFoundError):
        rb.TarShards(f"{tmp_path}/{{000..003}}.tar")
    with pytest.raises(FileNotFoundError, match="no file matches"):
        rb.TarShards(f"{tmp_path}/*.zip")


def test_truth_values_are_parsed_and_large_numbers_are_named(tmp_path: Path) -> None:
    texts = ["0", "1", "False", "true"]
    path = tmp_path / "truth.tar"
    write_tar(path, {f"{n}.ok": text.encode() for n, text in enumerate(texts)})
    shards = rb.TarShards([path])
    assert shards.column("ok", bool).tolist() == [False, True, False, True]
    write_tar(path, {"0.cls": b"300"})
    with pytest.raises(ValueError, match=r"cannot read .*0\.cls.*OverflowError"):
        rb.TarShards([path]).column("cls", np.uint8)

"""Packed folders in a store: written and continued there, and copied to be read."""

from __future__ import annotations

import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.fs
import pytest

import raybatch as rb
from raybatch.errors import BatchError, PackError
from raybatch.packing.packer import pack
from raybatch.stores import written
from tests.servers import SECRET, s3_filesystem, s3_url

SIZE = (12, 16)
ALL = np.arange(40)


def source_of(photos: list[str]) -> rb.ArrayDataSource:
    return rb.ArrayDataSource([rb.ImageFileAccessor(photos, SIZE), ALL])


def test_a_folder_in_s3_is_that_of_this_machine(
    photos: list[str], s3: int, tmp_path: Path, actors: rb.RayActorPool
) -> None:
    source, url = source_of(photos), s3_url(s3, "packed é")
    packing = partial(pack, source, batch_size=8, rows_per_file=16)
    here, there = packing(tmp_path / "here"), packing(url)
    assert there.directory == url
    assert there[1:4] == here[1:4]
    infos = s3_filesystem(s3).get_file_info(pyarrow.fs.FileSelector("images/packed é"))
    assert sorted(info.base_name for info in infos) == sorted(os.listdir(tmp_path / "here"))
    assert packing(url).files_written == 0
    with pytest.raises(PackError, match="was packed with batch_size 8, but now it is 4") as other:
        pack(source, url, batch_size=4)
    assert SECRET not in str(other.value)

    packed = rb.PackedAccessor(url, local=tmp_path / "copies")
    assert os.listdir(tmp_path / "copies") != []
    assert not [*tmp_path.glob("copies/0*.arrow")], "files come when they are needed"
    read = rb.ArrayDataSource([packed, packed.column("label")])
    with rb.Loader(read, 8, shuffle=3, pool=actors) as loader:
        assert rb.stream_digest(loader) == rb.stream_digest(source.batch_iterator(8, shuffle=3))
    for file in tmp_path.glob("here/*"):
        assert (tmp_path / "copies" / file.name).read_bytes() == file.read_bytes()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(packed))[ALL], packed[ALL])


class StoppedError(Exception):
    pass


def test_what_was_interrupted_goes_on(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://{tmp_path.name}"
    memory = fsspec.filesystem("memory")
    packing = partial(pack, source_of(photos), url, batch_size=8, rows_per_file=16)
    original = written.put

    def put(at: str, file: Path) -> None:
        if "00001" in at:
            raise StoppedError
        original(at, file)

    monkeypatch.setattr("raybatch.packing.store_folder.put", put)
    with pytest.raises(StoppedError):
        packing()
    names = {Path(path).name for path in memory.find(f"/{tmp_path.name}")}
    assert names == {"00000-of-00003.arrow", "_unfinished.json"}
    with pytest.raises(PackError, match="interrupted: run it again"):
        rb.PackedAccessor(url, local=tmp_path / "copies")
    monkeypatch.undo()
    assert packing().files_written == 2
    assert rb.PackedAccessor(url, local=tmp_path / "copies")[ALL].shape == (40, *SIZE, 3)
    # A file that is missing is made again.
    memory.rm(f"/{tmp_path.name}/00002-of-00003.arrow")
    assert packing().files_written == 1
    names = {Path(path).name for path in memory.find(f"/{tmp_path.name}")}
    assert names == {*(f"0000{number}-of-00003.arrow" for number in range(3)), "_manifest.json"}


def test_copies_of_other_files_are_not_taken_for_these(photos: list[str], tmp_path: Path) -> None:
    urls = [f"memory://{tmp_path.name}-{number}" for number in range(2)]
    for url, photo in zip(urls, photos[:2], strict=True):
        pack(rb.ArrayDataSource([rb.ImageFileAccessor([photo], SIZE)]), url)
    rb.PackedAccessor(urls[0], local=tmp_path)
    with pytest.raises(PackError, match="has copies of packed files that differ"):
        rb.PackedAccessor(urls[1], local=tmp_path)
    with pytest.raises(FileNotFoundError):
        rb.PackedAccessor("memory://absent", local=tmp_path / "absent")
    with pytest.raises(FileExistsError, match="holds no packed files"):
        fsspec.filesystem("memory").pipe(f"/{tmp_path.name}-x/a.txt", b"x")
        pack(source_of(photos), f"memory://{tmp_path.name}-x")


def test_a_copy_that_was_cut_short_is_an_error(photos: list[str], tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}"
    pack(source_of(photos), url)
    memory: Any = fsspec.filesystem("memory")
    (path,) = memory.glob(f"/{tmp_path.name}/*.arrow")
    memory.pipe(path, memory.cat_file(path)[:-9])
    source = rb.ArrayDataSource([rb.PackedAccessor(url, local=tmp_path)])
    with pytest.raises(BatchError, match="is damaged: it has"):
        rb.Loader(source, 8)

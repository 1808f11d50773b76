"""Packing that continues after an interruption, and the settings that must stay the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.errors import PackError
from raybatch.packing.packed_folder import verify
from raybatch.packing.provenance import provenance
from tests.drivers import start, wait_for
from tests.sample_sources import faulty
from tests.stores.test_packed import LABELS, SIZE, arrow_files, photo_source

PACK: dict[str, Any] = {"batch_size": 8, "rows_per_file": 8}

# Packs the photos, but waits at sample 24 for a line of input.
WAITING_PACK = """
import json
paths, out = json.loads(input())
images = rb.ImageFileAccessor(paths, (12, 16))

class Gate:
    fingerprint = images.fingerprint
    def __len__(self): return len(images)
    def __getitem__(self, index):
        if 24 in index:
            say(reached=24)
            input()
        return images[index]

labels = (np.arange(40) % 2).astype(np.int32)
rb.pack(rb.ArrayDataSource([Gate(), labels]), out, batch_size=8, rows_per_file=8)
say(packed=40)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_killed_packing_goes_on_to_the_same_files(photos: list[str], tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    with start(WAITING_PACK) as driver:
        assert driver.process.stdin is not None
        driver.process.stdin.write(json.dumps([photos, str(out)]))
        driver.go_on()
        assert driver.listen() == {"reached": "24"}
        wait_for(lambda: len(arrow_files(out)) == 3, "three files", 30)
        with pytest.raises(PackError, match="another process is packing into"):
            rb.pack(photo_source(photos), out, **PACK)
        driver.process.kill()
    with pytest.raises(PackError, match="was interrupted: run it again to continue"):
        rb.PackedAccessor(out)
    with pytest.raises(PackError, match="was interrupted"):
        verify(out)
    # A process that is killed while it writes a file leaves this.
    (out / ".00003-of-00005.arrow").write_bytes(b"half")
    noted = len(json.loads((out / "_unfinished.json").read_text())["files"])
    before = {path.name: path.stat().st_mtime_ns for path in arrow_files(out)[:noted]}
    done = rb.pack(photo_source(photos), out, **PACK)
    assert noted in (2, 3)  # the third file may not have been noted yet
    assert (done.rows, done.files_written) == (40, 5 - noted)
    assert before.items() <= {p.name: p.stat().st_mtime_ns for p in arrow_files(out)}.items()
    rb.pack(photo_source(photos), whole, **PACK)
    assert contents(out) == contents(whole)
    assert not list(verify(out))


def test_it_may_be_packed_by_another_pool(
    photos: list[str], tmp_path: Path, actors: rb.RayActorPool
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    rb.pack(photo_source(photos), whole, **PACK)
    rb.pack(photo_source(photos), out, pool=actors, **PACK)
    assert contents(out) == contents(whole)
    for number in (1, 2, 4):  # two runs of adjacent files
        (out / f"0000{number}-of-00005.arrow").unlink()
    assert rb.pack(photo_source(photos), out, pool=actors, **PACK).files_written == 3
    assert contents(out) == contents(whole)


def test_a_source_of_any_structure_goes_on(tmp_path: Path) -> None:
    def source() -> Any:
        parts: list[Any] = [rb.ArrayDataSource([np.arange(10 * n, 10 * n + 7)]) for n in range(2)]
        return rb.ChoiceDataSource(parts, stratified=True).map(halved)

    rb.pack(source(), tmp_path / "whole", batch_size=3, rows_per_file=3)
    rb.pack(source(), tmp_path / "out", batch_size=3, rows_per_file=3)
    for path in arrow_files(tmp_path / "out")[2:]:
        path.unlink()
    rb.pack(source(), tmp_path / "out", batch_size=3, rows_per_file=3)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def halved(x: Any) -> tuple[Any, ...]:
    return (x / 2,)


def negative(x: Any) -> tuple[Any, ...]:
    return (-x,)


def test_nothing_is_made_twice(photos: list[str], tmp_path: Path) -> None:
    rb.pack(photo_source(photos), tmp_path, **PACK)
    before = {path.name: path.stat().st_mtime_ns for path in arrow_files(tmp_path)}
    missing = rb.ArrayDataSource([Unreadable(photos, SIZE), LABELS])
    assert rb.pack(missing, tmp_path, batch_size=8).files_written == 0
    assert {p.name: p.stat().st_mtime_ns for p in arrow_files(tmp_path)} == before


def test_only_what_is_missing_is_read(photos: list[str], tmp_path: Path) -> None:
    rb.pack(photo_source(photos), tmp_path, **PACK)
    for number in (1, 3):
        (tmp_path / f"0000{number}-of-00005.arrow").unlink()
    images = Counting(photos, SIZE)
    assert rb.pack(rb.ArrayDataSource([images, LABELS]), tmp_path, **PACK).files_written == 2
    assert sorted(images.reads) == [*range(8, 16), *range(24, 32)]


def test_a_file_whose_last_batch_is_all_bad_is_mended_alone(tmp_path: Path) -> None:
    def packed() -> int:
        source = faulty(0, 40, *range(8, 16))
        return rb.pack(source, tmp_path, batch_size=8, rows_per_file=16, bad_samples="skip")[3]

    assert packed() == 3
    before = contents(tmp_path)
    (tmp_path / "00000-of-00003.arrow").unlink()
    assert packed() == 1
    assert contents(tmp_path) == before


class Counting(rb.ImageFileAccessor):
    """An accessor that records the indices that are read."""

    def fingerprint(self) -> dict[str, Any]:
        return {**super().fingerprint(), "kind": "ImageFileAccessor"}

    def __getitem__(self, index: Any) -> Any:
        self.reads: list[int] = [*getattr(self, "reads", []), *index.tolist()]
        return super().__getitem__(index)


class Unreadable(rb.ImageFileAccessor):
    def fingerprint(self) -> dict[str, Any]:
        return {**super().fingerprint(), "kind": "ImageFileAccessor"}

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("nothing was to be read")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (12, 17)}, r"with size \[12, 16\] in column 0, but now it is \[12, 17\]"),
        ({"decode": "scaled"}, r"with decode 'exact' in column 0, but now it is 'scaled'"),
        (
            {"layout": rb.PixelLayout(channels_first=True)},
            r"with layout\.channels_first False in column 0",
        ),
        ({"photos": slice(None, None, -1)}, "with other paths in column 0:"),
        ({"labels": LABELS + 1}, "with other values in column 1:"),
        ({"photos": slice(0, 39)}, "with samples 40, but now it is 39"),
        ({"batch_size": 4}, "with batch_size 8, but now it is 4"),
        ({"rows_per_file": 16}, "with rows_per_file 8, but now it is 16"),
        (
            {"names": ["image", "class"]},
            r"with names \['image', 'label'\], but now it is \['image', 'class'\]",
        ),
        ({"classes": ["a", "b"]}, "with classes None"),
        ({"map": negative}, r"data\.function None, but now it is '.*\.negative'"),
    ],
)
def test_another_source_or_setting_is_refused_by_name(
    photos: list[str], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    rb.pack(photo_source(photos), tmp_path, **PACK)
    before = contents(tmp_path)
    paths = photos[change.pop("photos", slice(None))]
    reading = {n: change.pop(n) for n in ("size", "decode", "layout") if n in change}
    images = rb.ImageFileAccessor(paths, **{"size": SIZE, **reading})
    labels = change.pop("labels", LABELS)[: len(paths)]
    source: Any = rb.ArrayDataSource([images, labels])
    if "map" in change:
        source = source.map(change.pop("map"))
    with pytest.raises(PackError, match=f"was packed with .*{message.removeprefix('with ')}"):
        rb.pack(source, tmp_path, **{**PACK, **change})
    assert contents(tmp_path) == before


def test_a_packing_that_ended_before_its_first_file_binds_nobody(
    photos: list[str], tmp_path: Path
) -> None:
    bad = rb.ArrayDataSource([rb.ImageFileAccessor(photos, SIZE), np.array(["a\udc80"] * 40)])
    with pytest.raises(ValueError, match="not valid text"):
        rb.pack(bad, tmp_path, **PACK)
    assert contents(tmp_path)
    done = rb.pack(photo_source(photos), tmp_path, **{**PACK, "batch_size": 4})
    assert done.rows == len(rb.PackedAccessor(tmp_path)) == 40


def test_what_else_is_in_the_folder_is_left_alone(photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty, and holds no packed files"):
        rb.pack(photo_source(photos), tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


def test_a_new_disk_with_what_its_system_puts_there_is_packed_into(
    photos: list[str], tmp_path: Path
) -> None:
    (tmp_path / "lost+found").mkdir()
    rb.pack(photo_source(photos), tmp_path)
    assert len(rb.PackedAccessor(tmp_path)) == 40


class Scaled:
    def __init__(self, by: int) -> None:
        self.by = by

    def scaled(self, x: Any) -> Any:
        return (x * self.by,)


def test_another_object_of_a_method_or_another_collation_is_another_source() -> None:
    def of(by: int) -> Any:
        return provenance(rb.ArrayDataSource([np.arange(4)]).map(Scaled(by).scaled))

    def collated(value: int) -> Any:
        rows = np.array([[1], [2, 3]], object)
        return provenance(rb.ArrayDataSource([rows], collate={0: rb.Pad(value)}))

    assert of(2) == of(2) != of(3)
    assert collated(0) == collated(0) != collated(9)

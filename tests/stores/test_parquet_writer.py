"""Image files written into Parquet files."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

import raybatch as rb
from raybatch.errors import SampleReadError
from tests.servers import SECRET, s3_filesystem, s3_url
from tests.stores.parquet_photos import (
    LABELS,
    ROWS,
    SIZE,
    contents,
)


def class_tree(photos: list[str], root: Path) -> Path:
    for path in photos:
        folder = root / Path(path).name[:3]
        folder.mkdir(parents=True, exist_ok=True)
        os.link(path, folder / Path(path).name)
    return root


def test_a_folder_of_classes_is_written_as_hugging_face_has_it(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = class_tree(photos, tmp_path / "tree")
    out = tmp_path / "out.parquet"
    assert rb.to_parquet(tree, out, rows_per_group=ROWS) == [str(out)]
    listed = rb.image_folder(tree)
    file = pq.ParquetFile(out)
    assert file.schema_arrow.remove_metadata() == pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
        ]
    )
    features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert features == {
        "image": {"_type": "Image"},
        "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    }
    rows = file.read().to_pylist()
    names = [os.path.relpath(path, tree) for path in listed.paths.to_pylist()]
    assert [row["image"]["path"] for row in rows] == names
    assert [row["image"]["bytes"] for row in rows] == contents(listed.paths.to_pylist())
    assert [row["label"] for row in rows] == listed.labels.tolist()
    group = file.metadata.row_group(0)
    assert (group.num_rows, file.num_row_groups) == (ROWS, 6)
    assert {group.column(leaf).compression for leaf in range(3)} == {"UNCOMPRESSED"}
    assert group.column(0).statistics is None
    file.close()
    monkeypatch.chdir(tmp_path)
    rb.to_parquet("tree", "relative.parquet")
    assert pq.read_table("relative.parquet")["image"].to_pylist() == [row["image"] for row in rows]
    rb.to_parquet(listed, tmp_path / "list.parquet")
    assert pq.read_table(tmp_path / "list.parquet")["label"].to_pylist() == listed.labels.tolist()


def test_a_flat_folder_has_no_labels_of_its_own(photos: list[str], tmp_path: Path) -> None:
    folder = Path(photos[0]).parent
    rb.to_parquet(f"{folder}/", tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["image"]
    assert table["image"][0].as_py()["path"] == "cat_01.jpg"
    rb.to_parquet(folder, tmp_path / "a.parquet", labels=np.arange(40, dtype=np.uint8))
    assert pq.read_table(tmp_path / "a.parquet")["label"].to_pylist() == list(range(40))


def test_many_files_are_written_as_a_whole(photos: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    files = rb.to_parquet(photos, out, labels=LABELS, rows_per_group=4, rows_per_file=15)
    assert files == [f"{out}/{number:05}-of-00003.parquet" for number in range(3)]
    accessor = rb.ParquetImageAccessor(out, size=SIZE)
    assert accessor.row_group_lengths.tolist() == [4, 4, 4, 3, 4, 4, 4, 3, 4, 4, 2]
    np.testing.assert_array_equal(
        accessor[np.arange(40)], rb.ImageFileAccessor(photos, SIZE)[np.arange(40)]
    )
    np.testing.assert_array_equal(accessor.column("label"), LABELS)
    with pytest.raises(FileExistsError, match="not an empty folder"):
        rb.to_parquet(photos, out, rows_per_file=15)
    # If the image `missing` in the second file cannot be read, neither file is left.
    layouts: list[dict[str, Any]] = [{}, {"rows_per_file": 20}]
    for options in layouts:
        with pytest.raises(SampleReadError, match=r"cannot read sample 40, .*missing"):
            rb.to_parquet([*photos, str(tmp_path / "missing.jpg")], tmp_path / "new", **options)
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_files_are_written_into_a_store(photos: list[str], s3: int, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    missing = str(tmp_path / "missing.jpg")
    for place in (partial(s3_url, s3, bucket="images"), "memory://{}".format):
        whole, many = place("whole.parquet"), place("new é")
        assert rb.to_parquet(photos, whole, rows_per_group=ROWS) == [whole]
        files = rb.to_parquet(photos, many, labels=LABELS, rows_per_file=15)
        with pytest.raises(FileExistsError, match="not an empty folder") as refused:
            rb.to_parquet(photos, many, rows_per_file=15)
        assert SECRET not in str(refused.value)
        layouts: list[dict[str, Any]] = [{}, {"rows_per_file": 20}]
        for options in layouts:
            with pytest.raises(SampleReadError, match=r"cannot read sample 40, .*missing"):
                rb.to_parquet([*photos, missing], place("failed"), **options)
        wanted = rb.ImageFileAccessor(photos, SIZE)[np.arange(40)]
        for paths in (whole, many, files):
            images = rb.ParquetImageAccessor(paths, size=SIZE)
            np.testing.assert_array_equal(images[np.arange(40)], wanted)
    assert memory.find("/failed") == []
    below = pyarrow.fs.FileSelector("images", recursive=True)
    names = [info.path for info in s3_filesystem(s3).get_file_info(below) if info.is_file]
    assert sum("new é/" in name for name in names) == 3
    assert not any("failed" in name for name in names)
    with pytest.raises(OSError, match=r"(?i)no.*such.*bucket|bucket.*not.*exist"):
        rb.to_parquet(photos, s3_url(s3, "a.parquet", bucket="absent"))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "at least one path"),
        (["a.jpg"], {"labels": [1, 2]}, r"1 integers, one for each image, not int64 \(2,\)"),
        (["a.jpg"], {"labels": [0.5]}, r"1 integers, one for each image, not float64 \(1,\)"),
        (["a.jpg"], {"rows_per_group": 0}, "rows_per_group must be 1 or more, not 0"),
        (["a.jpg"], {"rows_per_file": -1}, "rows_per_file must be 1 or more, not -1"),
        (".", {}, "lies in no class folder"),
    ],
)
def test_what_cannot_be_written_says_why(
    photos: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    images: Any,
    options: Any,
    message: str,
) -> None:
    monkeypatch.chdir(class_tree(photos[:4], tmp_path))
    os.link(photos[0], "beside.jpg")
    with pytest.raises(ValueError, match=message):
        rb.to_parquet(images, "out.parquet", **options)
    assert not Path("out.parquet").exists()

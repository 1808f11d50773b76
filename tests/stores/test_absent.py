"""Every reader reports a missing path in the same words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.stores.listing import find_images

READERS: dict[str, Callable[[str], Any]] = {
    "pets": lambda path: rb.ImageFolder(path, 8),
    "listed": rb.image_folder,
    "found": find_images,
    "shards": rb.TarShards,
    "a.tar": rb.TarShards,
    "a.zip": rb.ZipShards,
    "mds": rb.MDSShards,
    "a.parquet": lambda path: rb.ParquetImageAccessor(path, size=8),
    "packed": rb.PackedAccessor,
    "list.parquet": rb.ImageList.load,
    "images": lambda path: rb.to_parquet(path, "out.parquet"),
    "bad.jsonl": lambda path: rb.ArrayDataSource([np.arange(4)], exclude=path),
    "bad.parquet": lambda path: rb.ArrayDataSource([np.arange(4)], exclude=path),
}


@pytest.mark.parametrize("name", READERS)
def test_a_path_that_does_not_exist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    here = re.escape(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"^there is no '{here}/{re.escape(name)}'$"):
        READERS[name](str(tmp_path / name))
    with pytest.raises(
        FileNotFoundError, match=f"^there is no ('{name}' in '{here}'|'{here}/{name}')$"
    ):
        READERS[name](name)


def test_one_of_several_shards(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no '.*/pets-000\.tar'"):
        rb.TarShards(str(tmp_path / "pets-{000..001}.tar"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.zip", r"the folder in a zip file is 'zip://::.*/a\.zip'"),
        ("a.tar", "rb.TarShards reads tar files"),
        ("a.parquet", "rb.ParquetImageAccessor reads Parquet files"),
        ("a.jpg", "$"),
    ],
)
def test_a_file_in_the_place_of_a_folder(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(NotADirectoryError, match=f"is a file, not a folder(: )?{words}"):
        rb.ImageFolder(tmp_path / name)

"""The same encoded images as files, in tar and zip shards and in Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

import raybatch as rb
from raybatch.stores.listing import find_images
from tests.stores.shard_files import write_tar, write_zip

FORMS = ("files", "tar", "zip", "parquet")


def write_all(folder: Path, images: Sequence[bytes], per_shard: int, rows: int) -> None:
    """Write the images in all forms below `folder`.

    A shard or Parquet file has `per_shard` images, and a row group has `rows` images.
    """
    for form in FORMS:
        (folder / form).mkdir()
    for start in range(0, len(images), per_shard):
        own = images[start : start + per_shard]
        members = {f"{number:06}.jpg": data for number, data in enumerate(own, start)}
        for name, data in members.items():
            (folder / "files" / name).write_bytes(data)
        shard = f"{start // per_shard:03}"
        write_tar(folder / "tar" / f"{shard}.tar", members)
        write_zip(folder / "zip" / f"{shard}.zip", members)
        table = pa.table({"image": pa.array(own, pa.binary())})
        pq.write_table(table, folder / "parquet" / f"{shard}.parquet", rows)


def upload(folder: Path, store: pyarrow.fs.FileSystem, bucket: str) -> None:
    here = pa.fs.LocalFileSystem()
    pa.fs.copy_files(str(folder), bucket, here, store, chunk_size=2**20, use_threads=True)


def opened(form: str, folder: str, index: Path, **settings: Any) -> Any:
    """Return the accessor for one form of the images, with `settings` that all accessors have."""
    path, filesystem = f"{folder}/{form}", settings.get("filesystem")
    if form == "files":
        return rb.ImageFileAccessor(find_images(path, filesystem=filesystem), **settings)
    if form == "parquet":
        return rb.ParquetImageAccessor(path, **settings)
    kind = rb.TarShards if form == "tar" else rb.ZipShards
    io_threads = settings.pop("io_threads", 1)
    own = {name: settings.pop(name) for name in ("filesystem", "cache") if name in settings}
    shards = kind(path, index=index, **own)
    return shards.images("jpg", io_threads=io_threads, **settings)

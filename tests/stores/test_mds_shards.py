"""MDS shards, in the format of the `MDSWriter` in MosaicML's Streaming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.errors import StorageError

ENCODINGS = {"about": "json", "image": "jpeg", "label": "int", "name": "str", "weight": "float32"}
SIZES = {"int": 8, "float32": 4}


def encoded(value: Any, encoding: str) -> bytes:
    if encoding == "jpeg":
        return bytes(value)
    if encoding in SIZES:
        dtype = {"int": "<i8"}.get(encoding, "<f4")
        return np.array(value, dtype).tobytes()
    text = json.dumps(value) if encoding == "json" else value
    return str(text).encode()


def write_mds(folder: Path, samples: list[dict[str, Any]], a_shard: int, **index: Any) -> None:
    """Write `samples` below `folder`, in shards of `a_shard` samples.

    `index` is added to the entry of each shard in `index.json`.
    """
    folder.mkdir(exist_ok=True)
    sizes = [SIZES.get(encoding) for encoding in ENCODINGS.values()]
    config: dict[str, Any] = {
        "column_encodings": list(ENCODINGS.values()),
        "column_names": list(ENCODINGS),
        "column_sizes": sizes,
        "compression": None,
        "format": "mds",
    }
    about = json.dumps(config).encode()
    entries = []
    for number, start in enumerate(range(0, len(samples), a_shard)):
        parts = []
        for sample in samples[start : start + a_shard]:
            fields = [encoded(sample[name], kind) for name, kind in ENCODINGS.items()]
            lengths = [len(data) for data, size in zip(fields, sizes, strict=True) if size is None]
            parts.append(np.array(lengths, "<u4").tobytes() + b"".join(fields))
        offsets = np.cumsum([0, *map(len, parts)]) + 4 + 4 * (len(parts) + 1) + len(about)
        head = np.array([len(parts), *offsets], "<u4").tobytes()
        name = f"shard.{number:05}.mds"
        (folder / name).write_bytes(head + about + b"".join(parts))
        entry = {"raw_data": {"basename": name}, "samples": len(parts), "zip_data": None}
        entries.append({**config, **entry, **index})
    (folder / "index.json").write_text(json.dumps({"shards": entries, "version": 2}))


@pytest.fixture
def samples(photos: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "about": {"n": number},
            "image": Path(path).read_bytes(),
            "label": number % 3 - 1,
            "name": f"photo {number}",
            "weight": number / 2,
        }
        for number, path in enumerate(photos)
    ]


def test_the_samples_are_those_that_were_written(
    samples: list[dict[str, Any]], photos: list[str], tmp_path: Path
) -> None:
    write_mds(tmp_path / "mds", samples, 16)
    shards = rb.MDSShards(tmp_path / "mds")
    assert shards.shard_lengths.tolist() == [16, 16, 8]
    assert shards.extensions == dict.fromkeys(ENCODINGS, 40)
    order = np.random.default_rng(0).permutation(40)
    wanted = rb.ImageFileAccessor(photos, size=(20, 30))[order]
    np.testing.assert_array_equal(shards.images(size=(20, 30))[order], wanted)
    np.testing.assert_array_equal(shards.images("image", (20, 30))[order], wanted)
    labels, weights = shards.column("label"), shards.column("weight")
    assert (labels.dtype, labels.tolist()) == (np.int64, [n % 3 - 1 for n in range(40)])
    assert (weights.dtype, weights.tolist()) == (np.float32, [n / 2 for n in range(40)])
    assert shards.column("name")[np.array([5, 2])] == ["photo 5", "photo 2"]
    assert shards.json("n", "about").tolist() == list(range(40))
    assert shards.bytes("about")[7] == b'{"n": 7}'
    # Read the samples again, from the saved index, with a pattern of the shards' names.
    again = rb.MDSShards(str(tmp_path / "mds" / "shard.{00000..00002}.mds"))
    assert again.column("label").tolist() == labels.tolist()


def test_what_cannot_be_read_is_refused_with_the_reason(
    samples: list[dict[str, Any]], tmp_path: Path
) -> None:
    zipped = tmp_path / "zipped"
    write_mds(zipped, samples, 40, zip_data={"basename": "shard.00000.mds.zstd"})
    (zipped / "shard.00000.mds").rename(zipped / "shard.00000.mds.zstd")
    with pytest.raises(StorageError, match=r"are compressed, such as 'shard.00000.mds.zstd'"):
        rb.MDSShards(zipped)
    write_mds(tmp_path, samples, 40)
    path = tmp_path / "shard.00000.mds"
    whole = path.read_bytes()
    for data, reason in (
        (b"\x28\xb5\x2f\xfd" + whole, "it is compressed with Zstandard"),
        (whole[:-1], r"bytes, but its table says"),
        (b"no shard", "it is not an MDS shard"),
    ):
        path.write_bytes(data)
        with pytest.raises(StorageError, match=reason):
            rb.MDSShards(path)


def test_columns_of_other_kinds_are_named(samples: list[dict[str, Any]], tmp_path: Path) -> None:
    write_mds(tmp_path, samples, 40)
    shards = rb.MDSShards(tmp_path)
    with pytest.raises(ValueError, match="'about' is encoded as json"):
        shards.column("about")
    with pytest.raises(ValueError, match=r"images are in columns of jpeg or png.*\['image'\]"):
        shards.images("name")
    with pytest.raises(ValueError, match="'nothing' is encoded as"):
        shards.column("nothing")

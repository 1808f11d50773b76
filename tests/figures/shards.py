"""Images per second from tar shards: raybatch, webdataset and wids, beside raybatch from single files.

usage: python -m tests.figures.shards race DIR [--shards 20] [--rounds 5] [--epochs 3]    photographs
       python -m tests.figures.shards index [--shards 100] [--members 1000]

All contenders make the training recipe of `raybatch bench` with two workers: a random part at
224×224, flipped at random, normalised float32 with channels first. raybatch and wids shuffle all
samples; webdataset shuffles its stream with a buffer of 1,000 samples. webdataset and wids decode
with Pillow, as they do by default. Each run is a process of its own, and the contenders take turns;
a run times all epochs after its first. wids is in no release of webdataset from 1.0 on; without it,
it is left out.

`index` times how long it takes to read the headers of all members, and to open the saved index.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import raybatch as rb
from raybatch.bench.recipes import MEAN, STD, TRAIN
from raybatch.stores.listing import find_images
from tests.stores.shard_files import write_tar

_SIZE = (224, 224)
_BATCH_SIZE = 64
_WORKERS = 2


def from_files(folder: str, epochs: int) -> Iterator[int]:
    return _loaded(find_images(f"{folder}/files"), None, epochs)


def from_tar(folder: str, epochs: int) -> Iterator[int]:
    return _loaded(None, rb.TarShards(f"{folder}/tar/*.tar"), epochs)


def _loaded(paths: Any, shards: rb.TarShards | None, epochs: int) -> Iterator[int]:
    """Yield the number of images in each batch of a loader with two actors."""
    how: dict[str, Any] = {
        "transform": TRAIN.transform(_SIZE),
        "layout": rb.PixelLayout(channels_first=True, mean=MEAN, std=STD),
    }
    if shards is None:
        images: Any = rb.ImageFileAccessor(paths, **how)
    else:
        images = shards.images("jpg", **how)
    source = rb.ArrayDataSource([images])
    pool = rb.RayActorPool(_WORKERS, address="local")
    with pool, rb.Loader(source, _BATCH_SIZE, shuffle=True, seed=0, pool=pool) as loader:
        for _ in range(epochs):
            for (batch,) in loader:
                yield len(batch)


def from_webdataset(folder: str, epochs: int) -> Iterator[int]:
    import webdataset  # type: ignore[import-untyped]

    stream = webdataset.WebDataset(
        sorted(map(str, Path(folder, "tar").glob("*.tar"))), shardshuffle=100
    )
    samples = stream.shuffle(1000).decode("pil").to_tuple("jpg").map_tuple(_made)
    return _through_torch(samples.batched(_BATCH_SIZE, partial=True), None, epochs)


def from_wids(folder: str, epochs: int) -> Iterator[int]:
    import wids  # type: ignore[import-not-found]

    tars = sorted(Path(folder, "tar").glob("*.tar"))
    index = [{"url": str(tar), "nsamples": _members(tar)} for tar in tars]
    samples = wids.ShardListDataset(index, keep=True).add_transform(lambda s: (_made(s[".jpg"]),))
    return _through_torch(samples, _BATCH_SIZE, epochs)


def _members(tar: Path) -> int:
    with tarfile.open(tar) as file:
        return len(file.getnames())


def _made(image: Image.Image) -> np.ndarray[Any, Any]:
    """Return the training recipe of one image."""
    row = np.empty(TRAIN.shape(_SIZE), np.float32)
    TRAIN.write(image.convert("RGB"), row)
    return row


def _through_torch(samples: Any, batch_size: int | None, epochs: int) -> Iterator[int]:
    from torch.utils.data import DataLoader

    loader: Any = DataLoader(
        samples,
        batch_size,
        shuffle=batch_size is not None,
        num_workers=_WORKERS,
        persistent_workers=True,
    )
    for _ in range(epochs):
        for (batch,) in loader:
            yield len(batch)


CONTENDERS: dict[str, Callable[[str, int], Iterator[int]]] = {
    "files": from_files,
    "tar": from_tar,
    "webdataset": from_webdataset,
    "wids": from_wids,
}


def run(name: str, folder: str, epochs: int, images: int) -> None:
    """Print the images per second of one contender, after an epoch to warm up."""
    taken, began = 0, 0.0
    for count in CONTENDERS[name](folder, epochs + 1):
        taken += count
        if taken >= images and not began:
            began, first = time.perf_counter(), taken
    assert taken == (epochs + 1) * images
    print((taken - first) / (time.perf_counter() - began))


def race(source: str, shards: int, rounds: int, epochs: int) -> None:
    paths = find_images(source)
    per_shard = -(-len(paths) // shards)
    names = [name for name in CONTENDERS if name != "wids" or importlib.util.find_spec("wids")]
    rates: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for form in ("files", "tar"):
            Path(folder, form).mkdir()
        members = {f"{number:06}.jpg": Path(path).read_bytes() for number, path in enumerate(paths)}
        for name, data in members.items():
            Path(folder, "files", name).write_bytes(data)
        items = list(members.items())
        for start in range(0, len(items), per_shard):
            own = dict(items[start : start + per_shard])
            write_tar(Path(folder, "tar", f"{start // per_shard:03}.tar"), own)
        for _ in range(rounds):
            for name in names:
                command = [sys.executable, "-m", __spec__.name, "run", name, folder]
                arguments = ["--epochs", str(epochs), "--images", str(len(paths))]
                done = subprocess.run(
                    command + arguments, check=True, capture_output=True, text=True
                )
                rates[name].append(float(done.stdout.split()[-1]))
            print(
                *(f"{name} {found[-1]:.0f}" for name, found in rates.items()), sep="  ", flush=True
            )
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name in names:
        print(
            f"{name}: median {medians[name]:.0f}, files ÷ it {medians['files'] / medians[name]:.3f}"
        )
    for name in names[2:]:
        print(f"tar ÷ {name}: {medians['tar'] / medians[name]:.2f}")


def index(shards: int, members: int) -> None:
    """Time the index of shards of `members` small members each."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "JPEG")
    with tempfile.TemporaryDirectory() as folder:
        for shard in range(shards):
            own = {f"{shard * members + n:08}.jpg": buffer.getvalue() for n in range(members)}
            write_tar(Path(folder, f"{shard:03}.tar"), own)
        for what in ("made", "opened again"):
            began = time.perf_counter()
            found = len(rb.TarShards(f"{folder}/*.tar"))
            print(f"index of {found} samples {what}: {time.perf_counter() - began:.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    racing = commands.add_parser("race")
    racing.add_argument("source")
    racing.add_argument("--shards", type=int, default=20)
    racing.add_argument("--rounds", type=int, default=5)
    running = commands.add_parser("run")
    running.add_argument("name", choices=CONTENDERS)
    running.add_argument("folder")
    running.add_argument("--images", type=int)
    for command in (racing, running):
        command.add_argument("--epochs", type=int, default=3)
    indexing = commands.add_parser("index")
    indexing.add_argument("--shards", type=int, default=100)
    indexing.add_argument("--members", type=int, default=1000)
    arguments = vars(parser.parse_args())
    commands_of: dict[str, Callable[..., None]] = {"race": race, "run": run, "index": index}
    commands_of[arguments.pop("command")](**arguments)


if __name__ == "__main__":
    main()

"""The digests of nineteen streams: sources, shuffles, epochs, ranks, bad samples and resumes.

usage: python -m tests.figures.streams [--json FILE]

A refactoring leaves every digest as it is. The module uses only the public interface, so it also
runs on an older version: `PYTHONPATH=OTHER_CHECKOUT OTHER_PYTHON tests/figures/streams.py`. Its
images are PNG files that are not scaled, so no digest depends on the version of Pillow.
tests/loader/test_streams.py holds the digests.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import raybatch as rb
from raybatch.image import augment

EPOCHS = 2
BATCHES = 40  # the most from one epoch, since some epochs have no end


class Faulty:
    """An array-like of the numbers below `length`; those in `bad` cannot be read."""

    def __init__(self, length: int, *bad: int) -> None:
        self.length, self.bad = length, bad

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if found := np.intersect1d(index, self.bad).tolist():
            raise ValueError(f"{found[0]} is bad")
        return np.asarray(index)


def numbers(start: int, count: int, **options: Any) -> rb.ArrayDataSource:
    """Return a source of two arrays: the numbers from `start` on, and their halves."""
    values = np.arange(start, start + count)
    return rb.ArrayDataSource([values, values[:, None] / 2], **options)


def epochs(source: Any, batch_size: int, **options: Any) -> Iterator[Any]:
    """Yield the batches of the first epochs of a serial loader, and then its bad samples."""
    loader = rb.Loader(source, batch_size, **options)
    for _ in range(EPOCHS):
        yield from itertools.islice(loader, BATCHES)
    yield np.array([(bad.batch, bad.index) for bad in loader.bad_samples], np.int64).reshape(-1, 2)


def resumed(source: Callable[[], Any], before: int, after: int, **options: Any) -> Iterator[Any]:
    """Yield three batches of `before` samples, then resume with batches of `after` samples.

    The resumed loader yields the rest of the epoch and the next epoch.
    """
    loader = rb.Loader(source(), before, **options)
    yield from itertools.islice(loader, 3)
    state = json.loads(json.dumps(loader.state_dict()))
    loader = rb.Loader(source(), after, **options)
    loader.load_state_dict(state)
    for _ in range(EPOCHS):
        yield from loader


def all_ranks(source: Callable[[], Any], world_size: int, **options: Any) -> Iterator[Any]:
    for rank in range(world_size):
        yield from epochs(source(), 4, split=rb.RankSplit(rank, world_size), **options)


def noisy(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, ...]:
    return x, y + rng.random(y.shape)


def negative(x: Any, y: Any) -> tuple[Any, ...]:
    return -x, y


def image_files(folder: Path) -> list[str]:
    """Write 23 images of seeded noise, and return their paths."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:02}.png" for number in range(23)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    return [str(path) for path in paths]


def augmented(folder: Path) -> rb.MapDataSource:
    change = augment.Compose([augment.RandomCrop(20, padding=2), augment.RandomHorizontalFlip()])
    images = rb.ImageFileAccessor(image_files(folder), mode="RGB")

    def sample(image: Any, label: Any, rng: np.random.Generator) -> tuple[Any, ...]:
        return change(image, rng=rng), label

    return rb.ArrayDataSource([images, np.arange(len(images))]).map_samples(sample)


def of_three(**options: Any) -> rb.CompositeDataSource:
    """Return a composite of three sources: one repeats 7 samples without end, the others end."""
    members = [numbers(0, 7, repeats=-1), numbers(100, 23), numbers(200, 30).map(negative)]
    return rb.CompositeDataSource(members, **options)


def choice(**options: Any) -> rb.ChoiceDataSource:
    return rb.ChoiceDataSource([numbers(0, 23), numbers(100, 11), numbers(200, 5)], **options)


def of_choices() -> rb.CompositeDataSource:
    return rb.CompositeDataSource([choice(stratified=True), numbers(300, 31)])


def bad() -> rb.CompositeDataSource:
    source = rb.ArrayDataSource([Faulty(40, 3, 4, 5, 17), np.arange(40)])
    return rb.CompositeDataSource([source.map_samples(noisy), rb.ArrayDataSource([Faulty(30, 29)])])


def blocks() -> rb.ArrayDataSource:
    sampler = rb.BlockShuffleSampler([5, 1, 0, 7, 3, 6, 1], window=2, repeats=2)
    return numbers(0, 23, sampler=sampler)


WEIGHTS = np.arange(1, 24)

# Each function gets a folder for the files that it makes.
STREAMS: dict[str, Callable[[Path], Iterable[Any]]] = {
    "array in order": lambda _: epochs(numbers(0, 23), 5),
    "array, seed": lambda _: epochs(numbers(0, 23), 5, shuffle=12345),
    "array, RandomState": lambda _: epochs(numbers(0, 23), 5, shuffle=np.random.RandomState(12345)),
    "array, Generator": lambda _: epochs(numbers(0, 23), 5, shuffle=np.random.default_rng(12345)),
    "subset with repeats": lambda _: epochs(
        numbers(0, 40, indices=np.arange(1, 40, 2), repeats=3), 7, shuffle=12345
    ),
    "weighted": lambda _: epochs(
        numbers(0, 23, sampler=rb.WeightedSampler(WEIGHTS)), 5, shuffle=12345
    ),
    "weighted subset": lambda _: epochs(
        numbers(0, 46, sampler=rb.WeightedSubsetSampler(WEIGHTS, 2 * WEIGHTS - 1)), 5, shuffle=12345
    ),
    "block shuffle": lambda _: epochs(blocks(), 5, shuffle=12345),
    "composite of three": lambda _: epochs(of_three(), 5, shuffle=12345),
    "choice": lambda _: epochs(choice(), 4, shuffle=12345),
    "stratified choice": lambda _: epochs(choice(stratified=True), 4, shuffle=12345),
    "composite of choices": lambda _: epochs(of_choices(), 4, shuffle=12345),
    "augmented image files": lambda folder: epochs(augmented(folder), 4, shuffle=12345),
    "map with random numbers": lambda _: epochs(
        numbers(0, 23).map(noisy, rng=True), 5, shuffle=12345
    ),
    "three ranks, padded": lambda _: all_ranks(
        lambda: numbers(0, 50), 3, shuffle=12345, last_batch="pad"
    ),
    "bad samples skipped": lambda _: epochs(bad(), 4, shuffle=12345, bad_samples="skip"),
    "bad samples replaced": lambda _: epochs(bad(), 4, shuffle=12345, bad_samples="replace"),
    "resumed at another batch size": lambda _: resumed(
        lambda: numbers(0, 50).map_samples(noisy), 4, 7, shuffle=12345
    ),
    "BatchUp's iterator": (
        lambda _: of_three(flatten=False, trim=False).batch_iterator(
            5, shuffle=np.random.RandomState(12345)
        )
    ),
}


def digest(name: str) -> str:
    """Return the digest of the stream `name`."""
    with tempfile.TemporaryDirectory() as folder:
        return rb.stream_digest(STREAMS[name](Path(folder)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the digests there too")
    arguments = parser.parse_args()
    digests = {name: digest(name) for name in STREAMS}
    for name, value in digests.items():
        print(f"{value}  {name}")
    if arguments.json:
        arguments.json.write_text(json.dumps(digests, indent=1) + "\n")


if __name__ == "__main__":
    main()

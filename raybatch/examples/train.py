"""A small network learns to tell dogs from cats, and resumes after any interruption.

python -m raybatch.examples.train DIR --epochs 2 --checkpoint ckpt.pt
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

import raybatch as rb
from raybatch.image import augment
from raybatch.order.seeds import RandomKeys
from raybatch.stores.aside import written_aside
from raybatch.stores.local_path import local_path

try:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    from raybatch.adapters.torch import to_torch
except ImportError as error:
    raise ImportError("this example trains with torch: pip install 'raybatch[torch]'") from error

# ImageNet's mean and standard deviation.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass
class Training:
    """The content of a checkpoint.

    Args:
        model: The network.
        optimizer: Its optimizer.
        loader: The loader, which knows its position.
        loss_sum: The sum of the losses of the images in this epoch so far.
        images: The number of these images.
    """

    model: Any
    optimizer: Any
    loader: rb.Loader
    loss_sum: float = 0.0
    images: int = 0

    def step(self, images: Any, labels: Any) -> None:
        """Learn from a batch: float32 `(n, 3, H, W)`, and int64 `(n,)`."""
        loss = nn.functional.cross_entropy(self.model(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.loss_sum += loss.item() * len(labels)
        self.images += len(labels)

    def end_epoch(self) -> float:
        """Return the mean loss of the epoch, and begin the next."""
        loss = self.loss_sum / self.images
        self.loss_sum, self.images = 0.0, 0
        return loss

    def save(self, path: Path) -> None:
        """Write the checkpoint to a new file and rename it; `path` is always a whole file."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "loader": self.loader.state_dict(),
            "loss_sum": self.loss_sum,
            "images": self.images,
        }
        with written_aside(path) as aside:
            torch.save(state, aside)

    def load(self, path: Path) -> None:
        """Continue where `save` was called."""
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.loader.load_state_dict(state["loader"])
        self.loss_sum, self.images = state["loss_sum"], state["images"]


class Stopwatch:
    """Iterates over batches; the loop waited for them during `waited_s` of `total_s` seconds."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches
        self.waited_s = self.total_s = 0.0

    def __iter__(self) -> Iterator[Any]:
        start = asked = time.perf_counter()
        for batch in self._batches:
            self.waited_s += time.perf_counter() - asked
            yield batch
            asked = time.perf_counter()
        self.total_s = time.perf_counter() - start


def network(channels: int) -> Any:
    """Return a few convolution layers that give an image two scores."""
    layers: list[Any] = []
    for before, after in ((3, channels), (channels, 2 * channels), (2 * channels, 4 * channels)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * channels, 2))


def labelled_photos(directory: str, most: int | None) -> tuple[list[str], Any]:
    """Return the sorted paths of JPEG files named dog_* and cat_*, and their labels, 1 for a dog.

    `most` is the number of files to take, evenly spread; None takes all.
    """
    paths = [
        os.path.join(directory, name)
        for name in sorted(os.listdir(directory))
        if name.startswith(("dog_", "cat_")) and name.endswith(".jpg")
    ]
    if not paths:
        raise click.BadParameter(f"no dog_*.jpg and no cat_*.jpg in {directory!r}")
    chosen = np.linspace(0, len(paths) - 1, min(most or len(paths), len(paths))).astype(int)
    paths = [paths[number] for number in chosen]
    dogs = [os.path.basename(path).startswith("dog_") for path in paths]
    return paths, np.array(dogs, np.int64)


class Photos:
    """The same images and labels one by one, as a data set for PyTorch's DataLoader.

    The index of a sample is (epoch, index), since its random numbers depend on both.
    """

    def __init__(self, paths: list[str], labels: Any, change: augment.Transform, seed: int) -> None:
        self._paths, self._labels, self._change, self._seed = paths, labels, change, seed

    def __getitem__(self, sample: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = sample
        rng = RandomKeys(self._seed, epoch, 0).of_sample(index, 0)
        with Image.open(self._paths[index]) as file:
            image = self._change(file.convert("RGB"), rng=rng)
        pixels = torch.from_numpy(np.array(image)).float() / 255
        return ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1), torch.tensor(
            self._labels[index]
        )


class Indices:
    """Iterates over the batches of an epoch, as lists of (epoch, index).

    The order comes from a loader that loads nothing but indices.
    """

    def __init__(self, order: rb.Loader) -> None:
        self._order = order

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self._order.epoch
        for (indices,) in self._order:
            yield [(epoch, index) for index in indices.tolist()]


def open_batches(
    library: str, paths: list[str], labels: Any, edge: int, batch_size: int, seed: int, workers: int
) -> tuple[rb.Loader, Iterable[Any]]:
    """Return the loader, which knows the position, and its batches as tensors."""
    change = augment.classification_train(edge)
    if library == "torch":
        order = rb.Loader(
            rb.ArrayDataSource([np.arange(len(paths))]), batch_size, shuffle=True, seed=seed
        )
        return order, DataLoader(
            Photos(paths, labels, change, seed),
            batch_sampler=Indices(order),
            num_workers=workers,
            persistent_workers=True,
        )
    photos = rb.ImageFileAccessor(paths, transform=change)
    source = rb.ArrayDataSource([photos, labels])
    loader = rb.Loader(source, batch_size, shuffle=True, seed=seed, pool=rb.RayActorPool(workers))
    return loader, to_torch(loader, normalize=(MEAN, STD), channels_first=True)


def train_epoch(
    training: Training, batches: Iterable[Any], checkpoint: Path | None, every: int
) -> Iterator[None]:
    """Learn from the remaining batches of an epoch, one at each step, and report on it."""
    epoch, watch, first = training.loader.epoch, Stopwatch(batches), training.images
    for step, (images, labels) in enumerate(watch, 1):
        training.step(images, labels)
        if checkpoint is not None and step % every == 0:
            training.save(checkpoint)
            click.echo(f"epoch {epoch}: saved after {training.images} images")
        yield
    rate = (training.images - first) / watch.total_s
    click.echo(
        f"epoch {epoch}: loss {training.end_epoch():.9f}, {rate:.0f} images/s, "
        f"waited {watch.waited_s / watch.total_s:.1%} of the time"
    )
    if checkpoint is not None:
        training.save(checkpoint)


_number = click.IntRange(min=1)


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@click.option("--epochs", type=_number, default=2, show_default=True)
@click.option("--images", type=_number, help="Images to take.  [default: all]")
@click.option("--edge", type=_number, default=64, show_default=True, help="Pixels a side.")
@click.option("--batch-size", type=_number, default=64, show_default=True)
@click.option("--workers", type=_number, default=2, show_default=True)
@click.option(
    "--channels", type=_number, default=8, show_default=True, help="Channels of the first layer."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--checkpoint",
    "checkpoint_path",
    type=click.Path(dir_okay=False, writable=True),
    help="File to save the training in. If it exists, the training resumes from it.",
)
@click.option(
    "--every", type=_number, default=100, show_default=True, help="Batches between saves."
)
@click.option("--stop-after", type=_number, help="Batches to stop after.  [default: none]")
@click.option(
    "--loader",
    "library",
    type=click.Choice(["raybatch", "torch"]),
    default="raybatch",
    show_default=True,
    help="torch: the same batches from PyTorch's DataLoader.",
)
def main(
    directory: str,
    epochs: int,
    images: int | None,
    edge: int,
    batch_size: int,
    workers: int,
    channels: int,
    seed: int,
    checkpoint_path: str | None,
    every: int,
    stop_after: int | None,
    library: str,
) -> None:
    """Learn to tell dogs from cats, in JPEG files in DIRECTORY named dog_* and cat_*.

    The losses are the same numbers with either loader. With raybatch's, they stay the same if the
    program is stopped, by --stop-after or kill -9, and run again with the same --checkpoint.
    """
    checkpoint = None if checkpoint_path is None else local_path(checkpoint_path)
    if library == "torch" and checkpoint is not None:
        raise click.UsageError("PyTorch's DataLoader has no position to save in --checkpoint")
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # the number of threads can change the last bits of a sum
    model = network(channels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    paths, labels = labelled_photos(directory, images)
    loader, batches = open_batches(library, paths, labels, edge, batch_size, seed, workers)
    with loader:
        training = Training(model, optimizer, loader)
        if checkpoint is not None and checkpoint.exists():
            training.load(checkpoint)
            click.echo(f"epoch {loader.epoch}: resumes after {training.images} images")
        steps = 0
        while loader.epoch < epochs:
            for _ in train_epoch(training, batches, checkpoint, every):
                steps += 1
                if steps == stop_after:
                    if checkpoint is not None:
                        training.save(checkpoint)
                    return
        if library == "raybatch":
            stats = loader.stats()
            click.echo(f"waited {stats.waiting_share:.1%} of all the time; {stats.advice}")


if __name__ == "__main__":
    main()

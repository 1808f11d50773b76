"""A loader in each worker of a Ray Train run, with its position in the run's checkpoints.

Each worker makes its loader with `train_loader`, and saves its state with `save_state`:

    def train_loop_per_worker(config):
        pool = rb.RayActorPool(8, name="loaders")  # one pool for all workers
        loader = train_loader(source, 64, shuffle=True, seed=1, pool=pool)
        while loader.epoch < 90:
            for x, y in to_torch(loader, device="cuda"):
                ...
            with tempfile.TemporaryDirectory() as folder:
                save_state(loader, folder)  # beside the model's
                ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

from raybatch.loader.loader import Loader
from raybatch.loader.ranks import RankSplit
from raybatch.sources.source import DataSource
from raybatch.stores.aside import written_aside

try:
    import ray.train
except ImportError as error:
    raise ImportError(
        f"raybatch.adapters.ray_train needs Ray Train: pip install 'raybatch[train]' ({error})"
    ) from error

STATE_FILE = "raybatch_loader.json"


class HasState(Protocol):
    """A loader, or an adapter around one."""

    def state_dict(self) -> dict[str, Any]: ...


def rank_split() -> RankSplit:
    """Return the rank of this worker in its Ray Train run; RuntimeError outside of one."""
    context = ray.train.get_context()
    return RankSplit(context.get_world_rank(), context.get_world_size())


def train_loader(source: DataSource, batch_size: int, **options: Any) -> Loader:
    """Return the loader of this worker's rank, which continues from the run's last checkpoint.

    `batch_size` is the number of samples in a batch of this worker. `options` are those of
    `Loader`, except `split`. The number of workers and the batch size may have changed since the
    checkpoint. Without a checkpoint, or without a loader's state in it, the loader begins at the
    first epoch. All workers share a pool that has a name.

    All workers must report equally often, so they need the same number of batches. If these numbers
    would differ, this raises ValueError unless `last_batch` is "pad" or "drop". It also raises
    ValueError for a shuffle whose seed each worker would draw for itself.
    """
    loader = Loader(source, batch_size, split=rank_split(), **options)
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return loader
    with checkpoint.as_directory() as folder:
        file = Path(folder, STATE_FILE)
        if file.exists():
            loader.load_state_dict(json.loads(file.read_text()))
    return loader


def save_state(loader: HasState, directory: str | os.PathLike[str]) -> None:
    """Write the state of `loader` into `directory`, the folder of a new checkpoint; only on rank 0.

    The state of rank 0 is valid for all ranks. `loader` may also be a `LoaderDataset`. All ranks
    must have received the same number of batches when they report the checkpoint.
    """
    if rank_split().rank == 0:
        with written_aside(Path(directory, STATE_FILE)) as aside:
            aside.write_text(json.dumps(loader.state_dict()))

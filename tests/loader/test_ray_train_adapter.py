"""Loaders in the workers of a Ray Train run that fails, and resumes from its checkpoint."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

import raybatch as rb
from tests.sample_sources import numbers

pytest.importorskip("torch")
pytest.importorskip("pandas")  # Ray Train needs it

import ray.train
from ray.train.torch import TorchTrainer

from raybatch.adapters.ray_train import rank_split, save_state, train_loader
from raybatch.adapters.torch import to_torch

# Ray warns about its own settings.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SAMPLES = 103


class StoppedError(Exception):
    """The error that ends a run in the middle of its epoch."""


def train(config: dict[str, str]) -> None:
    """Train for an epoch, with a checkpoint after each batch.

    The first run fails after three batches.
    """
    is_first = ray.train.get_checkpoint() is None
    rank, source = rank_split().rank, numbers(0, SAMPLES)
    pool = rb.RayActorPool(1, num_cpus_per_actor=0, name="loaders")
    loader = train_loader(source, 8 if is_first else 5, shuffle=1, last_batch="pad", pool=pool)
    batches = to_torch(loader)
    seen = []
    for x, valid in batches:
        seen.append(x[valid].tolist())
        with tempfile.TemporaryDirectory() as saved:
            save_state(batches, saved)
            checkpoint = ray.train.Checkpoint.from_directory(saved) if rank == 0 else None
            ray.train.report({}, checkpoint=checkpoint)
        if is_first and len(seen) == 3:
            break
    Path(config["folder"], f"{'first' if is_first else 'second'}_{rank}.json").write_text(
        json.dumps(seen)
    )
    if is_first:
        raise StoppedError


@pytest.mark.timeout(400)  # Ray Train starts six processes, and four again after the failure
def test_a_run_that_was_stopped_in_an_epoch_goes_on(tmp_path: Path, ray_cluster: None) -> None:
    TorchTrainer(
        train,
        train_loop_config={"folder": str(tmp_path)},
        scaling_config=ray.train.ScalingConfig(num_workers=2),
        run_config=ray.train.RunConfig(
            storage_path=str(tmp_path / "storage"),
            failure_config=ray.train.FailureConfig(max_failures=1),
        ),
    ).fit()

    def global_batches(run: str) -> list[list[int]]:
        ranks = [json.loads((tmp_path / f"{run}_{rank}.json").read_text()) for rank in range(2)]
        return [[*one, *other] for one, other in zip(*ranks, strict=True)]

    first, second = global_batches("first"), global_batches("second")
    assert [len(batch) for batch in first] == [16, 16, 16]
    assert [len(batch) for batch in second] == [10, 10, 10, 10, 10, 5]
    (order,) = next(iter(rb.Loader(numbers(0, SAMPLES), SAMPLES, shuffle=1)))
    assert [sample for batch in first + second for sample in batch] == order.tolist()


def test_outside_of_a_run_there_is_no_rank() -> None:
    with pytest.raises(RuntimeError):
        rank_split()

"""Loaders in the workers of a real Ray Train run, which is stopped and goes on from its checkpoint."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from tests.sources import numbers

pytest.importorskip("torch")
pytest.importorskip("pandas")  # Ray Train needs it

import ray.train  # noqa: E402
from ray.train.torch import TorchTrainer  # noqa: E402

from raybatch.adapters.ray_train import rank_split, save_state, train_loader  # noqa: E402
from raybatch.adapters.torch import to_torch  # noqa: E402

# Ray warns of its own settings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SAMPLES = 103


class StoppedError(Exception):
    """Ends a run in the middle."""


def train(config: dict[str, Any]) -> None:
    """Train for an epoch, with a checkpoint after each batch; stop after `stop_at` of them."""
    pool = rb.RayActorPool(1, num_cpus_per_actor=0, name="loaders")
    options = {"shuffle": 12345, "last_batch": "pad", "pool": pool}
    with train_loader(numbers(0, SAMPLES), config["batch_size"], **options) as loader:
        rank = rank_split().rank
        batches = to_torch(loader)
        seen = []
        for step, (x, valid) in enumerate(batches, start=1):
            seen.append(x[valid].tolist())
            with tempfile.TemporaryDirectory() as folder:
                save_state(batches, folder)
                checkpoint = ray.train.Checkpoint.from_directory(folder) if rank == 0 else None
                ray.train.report({"step": step}, checkpoint=checkpoint)
            if step == config["stop_at"]:
                break
        name = f"{config['run']}_{rank}.json"
        Path(config["folder"], name).write_text(json.dumps(seen))
        if step == config["stop_at"]:
            raise StoppedError


def test_a_run_that_was_stopped_in_an_epoch_goes_on(tmp_path: Path, ray_cluster: None) -> None:
    def fit(run: str, batch_size: int, stop_at: int) -> list[list[int]]:
        trainer = TorchTrainer(
            train,
            train_loop_config={
                "run": run,
                "folder": str(tmp_path),
                "batch_size": batch_size,
                "stop_at": stop_at,
            },
            scaling_config=ray.train.ScalingConfig(num_workers=2),
            run_config=ray.train.RunConfig(name="run", storage_path=str(tmp_path / "storage")),
        )
        if stop_at:
            with pytest.raises(Exception, match="StoppedError"):
                trainer.fit()
        else:
            trainer.fit()
        ranks = [json.loads((tmp_path / f"{run}_{rank}.json").read_text()) for rank in range(2)]
        return [sorted(global_batch) for global_batch in map(np.hstack, zip(*ranks, strict=True))]

    first = fit("first", 8, stop_at=3)
    assert [len(batch) for batch in first] == [16, 16, 16]
    second = fit("second", 5, stop_at=0)
    assert [len(batch) for batch in second] == [10, 10, 10, 10, 10, 5]
    whole = rb.Loader(numbers(0, SAMPLES), 16, shuffle=12345)
    expected = [sorted(x.tolist()) for (x,) in whole]
    assert first == expected[:3]
    assert sorted(np.hstack(first + second).tolist()) == list(range(SAMPLES))


def test_outside_of_a_run_there_is_no_rank() -> None:
    with pytest.raises(RuntimeError):
        rank_split()

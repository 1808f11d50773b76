"""raybatch's `DataLoader` in Lightning, Accelerate and Hugging Face's Trainer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

import raybatch as rb
from tests.drivers import is_actor

torch = pytest.importorskip("torch")

from raybatch.adapters.torch import DataLoader, on_actors  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks themselves warn


class Samples:
    """Samples of named fields, each with the id of the process that read it."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> dict[str, Any]:
        x = torch.full((2,), float(index))
        return {"x": x, "labels": index % 2, "index": index, "reader": os.getpid()}


def shuffled(pool: rb.RayActorPool, **options: Any) -> DataLoader:
    rng = torch.Generator().manual_seed(3)
    return DataLoader(Samples(), 4, shuffle=True, generator=rng, pool=pool, **options)


class Seen:
    """The indices of the batches that a model received, and the processes that read them."""

    def __init__(self) -> None:
        self.indices: list[list[int]] = []
        self.readers: set[int] = set()

    def note(self, index: Any, reader: Any) -> None:
        self.indices.append(index.tolist())
        self.readers |= set(reader.tolist())


def two_epochs(pool: rb.RayActorPool) -> list[list[int]]:
    loader = shuffled(pool)
    return [batch["index"].tolist() for _ in range(2) for batch in loader]


def test_lightning_trains_with_it_and_goes_on(actors: rb.RayActorPool, tmp_path: Path) -> None:
    lightning: Any = pytest.importorskip("lightning.pytorch")

    class Model(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
            self.seen = Seen()

        def training_step(self, batch: Any, number: int) -> Any:
            self.seen.note(batch["index"], batch["reader"])
            return self.layer(batch["x"]).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def fit(checkpoint: Path | None, max_steps: int) -> Seen:
        saving = lightning.callbacks.ModelCheckpoint(tmp_path, "at_{step}", every_n_train_steps=8)
        trainer = lightning.Trainer(
            max_epochs=2,
            max_steps=max_steps,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[saving],
        )
        model = Model()
        trainer.fit(model, shuffled(actors), ckpt_path=checkpoint, weights_only=False)
        return model.seen

    whole = two_epochs(actors)
    first = fit(None, max_steps=8)
    assert first.indices == whole[:8]
    assert os.getpid() not in first.readers
    assert first.indices + fit(tmp_path / "at_step=8.ckpt", max_steps=-1).indices == whole


def test_the_trainer_of_hugging_face_trains_with_it(
    actors: rb.RayActorPool, tmp_path: Path
) -> None:
    transformers: Any = pytest.importorskip("transformers")

    class Model(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)
            self.seen = Seen()

        def forward(self, x: Any, labels: Any, index: Any, reader: Any) -> Any:
            self.seen.note(index, reader)
            logits = self.layer(x)
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    class Trainer(transformers.Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> DataLoader:
            return shuffled(actors)

    model = Model()
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=2,
        use_cpu=True,
        report_to=[],
        remove_unused_columns=False,
        save_strategy="no",
        disable_tqdm=True,
    )
    Trainer(model=model, args=arguments, train_dataset=Samples()).train()
    assert model.seen.indices == two_epochs(actors)
    assert os.getpid() not in model.seen.readers


def test_accelerate_prepares_it(
    actors: rb.RayActorPool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerate: Any = pytest.importorskip("accelerate")
    monkeypatch.setattr("raybatch.notices._told", {})
    accelerator = accelerate.Accelerator(cpu=True)
    # This process is rank 1 of two.
    prepared = accelerate.data_loader.prepare_data_loader(
        shuffled(actors),
        accelerator.device,
        num_processes=2,
        process_index=1,
        put_on_device=True,
    )
    expected = [batch["index"].tolist() for batch in prepared]
    assert "PyTorch's processes make its batches, not Ray actors" in capsys.readouterr().err
    prepared.base_dataloader.generator.manual_seed(3)
    assert on_actors(prepared) is prepared
    seen = Seen()
    for batch in prepared:
        seen.note(batch["index"], batch["reader"])
    assert seen.indices == expected
    assert all(is_actor(psutil.Process(reader)) for reader in seen.readers)
    with pytest.raises(TypeError, match="the result of Accelerate's `prepare`"):
        on_actors(shuffled(actors))

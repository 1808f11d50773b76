"""Batches of named fields in Hugging Face's Trainer, Lightning, Accelerate and torchdata."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb

torch = pytest.importorskip("torch")

from raybatch.adapters.torch import SampleDataset, to_torch  # noqa: E402

N = 20
PIXELS = np.random.default_rng(0).normal(size=(N, 3, 2, 2)).astype(np.float32)
LABELS = np.arange(N) % 2


def loader(batch_size: int = 4, **options: Any) -> rb.Loader:
    fields = {"pixel_values": PIXELS, "labels": LABELS, "number": np.arange(N)}
    return rb.Loader(rb.ArrayDataSource(fields), batch_size, shuffle=3, **options)


def wanted(epochs: int) -> list[Any]:
    plain = loader()
    return [batch["number"].tolist() for _ in range(epochs) for batch in plain]


class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A model that takes the fields as keyword arguments, and records the samples that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(12, 2)
        self.seen: list[Any] = []

    def forward(self, pixel_values: Any, labels: Any, number: Any) -> Any:
        assert pixel_values.shape[1:] == (3, 2, 2)
        self.seen.append(number.tolist())
        logits = self.layer(pixel_values.flatten(1))
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.mark.filterwarnings("ignore")  # the libraries themselves warn
def test_the_trainer_of_transformers_trains_and_goes_on(tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")

    def train(epochs: int, save_steps: int, resume: Any = None) -> list[Any]:
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            num_train_epochs=epochs,
            per_device_train_batch_size=4,
            save_steps=save_steps,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
        )
        model = Network()
        data = SampleDataset(to_torch(loader()))
        trainer = transformers.Trainer(model, arguments, train_dataset=data)
        result = trainer.train(resume_from_checkpoint=resume)
        assert result.global_step == epochs * 5
        return model.seen

    assert train(2, save_steps=7) == wanted(2)
    assert train(2, save_steps=100, resume=str(tmp_path / "checkpoint-7")) == wanted(2)[7:]


def test_a_data_loader_collates_the_samples_to_the_same_batches(actors: rb.RayActorPool) -> None:
    data = SampleDataset(to_torch(loader(6, pool=actors)))
    batches = torch.utils.data.DataLoader(data, batch_size=6)
    assert len(batches) == 4
    for epoch in range(2):
        expected = loader(6)
        expected.set_epoch(epoch)
        got = list(batches)
        assert len(got) == 4
        for batch, arrays in zip(got, expected, strict=True):
            assert list(batch) == list(arrays)
            np.testing.assert_array_equal(batch["pixel_values"], arrays["pixel_values"])
            np.testing.assert_array_equal(batch["labels"], arrays["labels"])


def test_lightning_gets_dicts(tmp_path: Path) -> None:
    lightning: Any = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = Network()

        def training_step(self, batch: Any, number: int) -> Any:
            return self.network(**batch)["loss"]

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning itself warns
        lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        ).fit(module, to_torch(loader()))
    assert module.network.seen == wanted(2)


def test_accelerate_gets_dicts() -> None:
    accelerate: Any = pytest.importorskip("accelerate")
    batches = torch.utils.data.DataLoader(to_torch(loader()), batch_size=None)
    prepared = accelerate.Accelerator(cpu=True).prepare(batches)
    assert [batch["number"].tolist() for _ in range(2) for batch in prepared] == wanted(2)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
def test_a_stateful_data_loader_of_dicts_goes_on() -> None:
    stateful: Any = pytest.importorskip("torchdata.stateful_dataloader")

    def made() -> Any:
        return stateful.StatefulDataLoader(to_torch(loader()), batch_size=None)

    first, seen = made(), []
    for step, batch in enumerate(first, start=1):
        seen.append(batch["number"].tolist())
        if step == 3:
            break
    again = made()
    again.load_state_dict(first.state_dict())
    assert seen + [batch["number"].tolist() for batch in again] == wanted(1)


def test_samples_have_rows_of_ragged_arrays() -> None:
    boxes = [np.full((length, 4), length) for length in (2, 0, 1)]
    source = rb.Loader(rb.ArrayDataSource({"boxes": rb.RaggedArray(boxes)}), 2)
    samples = list(SampleDataset(to_torch(source)))
    assert [sample["boxes"].tolist() for sample in samples] == [box.tolist() for box in boxes]
    with pytest.raises(ValueError, match='with ragged="nested", not "pair"'):
        SampleDataset(to_torch(source, ragged="pair"))

"""Loaders as PyTorch data sets: values, shared memory, and saved states in other libraries."""

from __future__ import annotations

import gc
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from tests.sample_sources import numbers

torch = pytest.importorskip("torch")

from raybatch.adapters.torch import LoaderDataset, RaggedTensors, to_torch  # noqa: E402

DEVICES = [None, *(["cuda"] if torch.cuda.is_available() else [])]
torchdata_calls_what_torch_deprecates = pytest.mark.filterwarnings(
    "ignore:'set_vital' is deprecated:UserWarning"
)


def values(batches: Any) -> list[Any]:
    return [tuple(array.tolist() for array in batch) for batch in batches]


def fresh(shuffle: Any = 3, **options: Any) -> rb.Loader:
    source = rb.ArrayDataSource([np.arange(23), np.arange(46.0).reshape(23, 2)])
    return rb.Loader(source, 4, shuffle=shuffle, **options)


@pytest.mark.parametrize("device", DEVICES)
def test_each_iteration_is_an_epoch_of_the_loader(device: Any) -> None:
    tensors, arrays = to_torch(fresh(), device=device), fresh()
    assert len(tensors) == 6
    for _ in range(2):
        batches = list(tensors)
        assert {type(member) for batch in batches for member in batch} == {torch.Tensor}
        assert {member.device.type for batch in batches for member in batch} == {device or "cpu"}
        assert values(batches) == values(arrays)


def test_tensors_share_the_memory_of_the_object_store_without_a_warning(
    actors: rb.RayActorPool,
) -> None:
    arrays = rb.ArrayDataSource([np.arange(400_000).reshape(100, 4000)])
    with rb.Loader(arrays, 50, pool=actors) as loader:
        (array,) = next(iter(loader))
        assert not array.flags.writeable
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prepare = to_torch(loader).prepare
            (tensor,) = prepare((array,))
        assert tensor.data_ptr() == array.ctypes.data
        del array
        assert tensor.sum() == np.arange(200_000).sum()  # the tensor keeps the memory alive


def test_writable_tensors_are_copies_of_what_is_read_only(actors: rb.RayActorPool) -> None:
    arrays = rb.ArrayDataSource([np.arange(400_000).reshape(100, 4000)])
    with rb.Loader(arrays, 50, pool=actors) as loader:
        for _ in range(2):
            for (x,) in to_torch(loader, writable=True):
                assert x.min() >= 0
                x[:] = -1
    (x,) = next(iter(to_torch(rb.Loader(arrays.map(lambda x: (x,)), 50), writable=True)))
    x[:] = -1


@pytest.mark.parametrize("writable", [False, True])
def test_what_no_tensor_can_hold_stays_as_it_is(photos: list[str], writable: bool) -> None:
    def odd(images: Any, numbers: Any) -> tuple[Any, ...]:
        names = [str(number) for number in numbers]
        big_endian, reversed_rows = numbers.astype(">i4"), numbers[::-1]
        fixed = np.broadcast_to(numbers, (len(numbers), len(numbers)))
        nested = (np.array(names), {"dates": numbers.astype("datetime64[D]"), "n": numbers})
        return images, names, big_endian, reversed_rows, fixed, nested, [numbers, "text", 1]

    images: Any = rb.NonUniformImageFileAccessor(photos)
    source = rb.ArrayDataSource([images, np.arange(40)]).map(odd)
    batch = next(iter(to_torch(rb.Loader(source, 3), writable=writable)))
    assert [image.size for image in batch[0]] == [image.size for image in images[np.arange(3)]]
    assert batch[1] == ["0", "1", "2"]
    assert [member.tolist() for member in batch[2:5]] == [[0, 1, 2], [2, 1, 0], [[0, 1, 2]] * 3]
    texts, columns = batch[5]
    assert (type(texts), type(columns["dates"])) == (np.ndarray, np.ndarray)
    assert columns["n"].tolist() == batch[6][0].tolist() == [0, 1, 2]
    assert batch[6][1] == "text"
    if writable:
        batch[4][0] = 7
        assert batch[4].tolist() == [[7, 7, 7], [0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("inner_shape", [(), (4,)])
def test_ragged_arrays_become_nested_tensors(device: Any, inner_shape: tuple[int, ...]) -> None:
    rows = [np.full((length, *inner_shape), length, np.float32) for length in (2, 0, 3, 1)]
    source = rb.ArrayDataSource({"boxes": rb.RaggedArray(rows)})
    (nested,) = [batch["boxes"] for batch in to_torch(rb.Loader(source, 4), device=device)]
    assert (nested.layout, nested.dtype, nested.device.type) == (
        *(torch.jagged, torch.float32),
        device or "cpu",
    )
    assert [row.tolist() for row in nested.unbind()] == [row.tolist() for row in rows]
    (pair,) = [batch["boxes"] for batch in to_torch(rb.Loader(source, 4), device, ragged="pair")]
    assert isinstance(pair, RaggedTensors)
    assert (pair.values.shape, pair.offsets.tolist()) == ((6, *inner_shape), [0, 2, 2, 5, 6])


def test_a_nested_tensor_shares_the_memory_of_its_array() -> None:
    ragged = rb.RaggedArray([[1.0], [2.0, 3.0]])
    for array in (ragged, ragged[:]):
        array.values.flags.writeable = False
        (nested,) = to_torch(fresh()).prepare((array,))
        assert nested.values().data_ptr() == array.values.ctypes.data
        (nested,) = to_torch(fresh(), writable=True).prepare((array,))
        assert nested.values().data_ptr() != array.values.ctypes.data
    times = rb.RaggedArray([np.array(["2020-01-01"], "datetime64[D]")])
    assert to_torch(fresh()).prepare((times,)) == (times,)
    with pytest.raises(ValueError, match='ragged must be "nested" or "pair", not \'padded\''):
        to_torch(fresh(), ragged="padded")


def test_other_devices_get_what_comes() -> None:
    for x, y in to_torch(fresh(), device="meta"):
        assert (x.device.type, y.shape[1:]) == ("meta", (2,))


def test_a_data_loader_takes_it_as_a_data_set() -> None:
    loader = torch.utils.data.DataLoader(LoaderDataset(fresh()), batch_size=None)
    assert len(loader) == 6
    plain = fresh()
    for _ in range(2):
        assert values(loader) == values(plain)


def test_workers_of_a_data_loader_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The interval at which PyTorch looks for failed workers; its default is 5 s.
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)
    loader = torch.utils.data.DataLoader(LoaderDataset(fresh()), batch_size=None, num_workers=1)
    with pytest.raises(RuntimeError, match=r"use DataLoader\(.*num_workers=0"):
        next(iter(loader))
    gc.collect()


@torchdata_calls_what_torch_deprecates
@pytest.mark.parametrize("options", [{}, {"batch_size": 2}, {"batch_size": 2, "drop_last": True}])
@pytest.mark.parametrize("kind", ["DataLoader", "StatefulDataLoader"])
def test_a_data_loader_that_would_join_batches_is_refused(kind: str, options: Any) -> None:
    module: Any = torch.utils.data
    if kind == "StatefulDataLoader":
        module = pytest.importorskip("torchdata.stateful_dataloader")
    loader = getattr(module, kind)(LoaderDataset(fresh()), **options)
    with pytest.raises(
        TypeError, match=r"batches of batches. Use DataLoader\(dataset, batch_size=None"
    ):
        next(iter(loader))


def test_a_pickled_data_set_goes_on_where_this_one_is() -> None:
    dataset = LoaderDataset(fresh())
    batches = iter(dataset)
    next(batches)
    assert values(pickle.loads(pickle.dumps(dataset))) == values(batches)


@torchdata_calls_what_torch_deprecates
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("step", range(8))
def test_a_stateful_data_loader_goes_on_from_every_step(step: int, device: Any) -> None:
    torchdata: Any = pytest.importorskip("torchdata.stateful_dataloader")

    def stateful() -> Any:
        dataset = LoaderDataset(fresh(), device=device)
        return torchdata.StatefulDataLoader(dataset, batch_size=None)

    plain = fresh()
    whole = values(batch for _ in range(2) for batch in plain)
    loader = stateful()
    batches = (batch for _ in range(2) for batch in loader)
    for _ in range(step):
        next(batches)
    state = pickle.loads(pickle.dumps(loader.state_dict()))
    resumed = stateful()
    resumed.load_state_dict(state)
    rest = values(resumed)
    while resumed.dataset.loader.epoch < 2:
        rest += values(resumed)
    assert rest == whole[step:]


def prepared() -> tuple[Any, Any]:
    """Return an accelerator, and a data loader that it has prepared."""
    accelerate: Any = pytest.importorskip("accelerate")
    configuration = accelerate.utils.DataLoaderConfiguration(use_stateful_dataloader=True)
    accelerator = accelerate.Accelerator(cpu=True, dataloader_config=configuration)
    loader = torch.utils.data.DataLoader(LoaderDataset(fresh()), batch_size=None)
    return accelerator, accelerator.prepare(loader)


@torchdata_calls_what_torch_deprecates
def test_accelerate_trains_with_it_and_goes_on(tmp_path: Path) -> None:
    plain = fresh()
    whole = values(batch for _ in range(2) for batch in plain)

    accelerator, loader = prepared()
    seen = values(loader)
    batches = iter(loader)
    seen += values(next(batches) for _ in range(2))
    accelerator.save_state(str(tmp_path))
    accelerator, loader = prepared()
    accelerator.load_state(str(tmp_path))
    assert seen + values(loader) == whole


@torchdata_calls_what_torch_deprecates
@pytest.mark.parametrize("step", [3, 6, 7, 12, 14])
def test_accelerate_counts_its_epochs_on_from_a_state(step: int, tmp_path: Path) -> None:
    """In a new process, Accelerate counts its epochs from 0, whatever the epoch of the state."""
    plain = fresh()
    whole = values(batch for _ in range(4) for batch in plain)

    accelerator, loader = prepared()
    for number, _ in enumerate((batch for _ in range(4) for batch in loader), start=1):
        if number == step:
            accelerator.save_state(str(tmp_path))
            break
    accelerator, loader = prepared()
    accelerator.load_state(str(tmp_path))
    rest = values(loader)
    while loader.dataset.loader.epoch < 4:
        rest += values(loader)
    assert rest == whole[step:]


def test_numbers_of_epochs_are_counted_on_from_a_state() -> None:
    plain = fresh()
    whole = [values(plain) for _ in range(8)]
    tensors = to_torch(fresh())
    for epoch in (3, 3, 0):
        tensors.set_epoch(epoch)
        assert values(tensors) == whole[epoch]
    for load in (tensors.load_state_dict, tensors.loader.load_state_dict):
        other = fresh()
        other.set_epoch(4)
        next(iter(other))
        load(other.state_dict())
        if load == tensors.loader.load_state_dict:
            tensors = to_torch(tensors.loader)
        for number, epoch in [(0, 4), (1, 5), (3, 7)]:
            tensors.set_epoch(number)
            assert values(tensors) == whole[epoch][epoch == 4 :]
    tensors.set_epoch(4)
    tensors.skip(4)
    assert values(tensors)[0] == fresh_after(8, 4)


def fresh_after(epoch: int, batches: int) -> Any:
    loader = fresh()
    loader.set_epoch(epoch)
    loader.skip(batches)
    return values(loader)[0]


def test_an_epoch_that_begins_again_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    tensors = to_torch(fresh())
    for _ in range(2):
        tensors.set_epoch(0)
        next(iter(tensors))
    assert "the last loop left it after 1 batch." in capfd.readouterr().err


@pytest.mark.parametrize("as_data_set", [False, True])
def test_lightning_sees_as_many_samples_as_with_a_data_loader(as_data_set: bool) -> None:
    lightning: Any = pytest.importorskip("lightning.pytorch")

    class Model(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.seen: set[int] = set()

        def training_step(self, batch: Any, number: int) -> Any:
            self.seen.update(batch[0].tolist())
            return self.layer(torch.ones(1, 1)).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    model = Model()
    tensors = to_torch(rb.Loader(numbers(0, 1000), 10, shuffle=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning itself warns
        lightning.Trainer(
            max_epochs=20,
            limit_train_batches=5,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(
            model, torch.utils.data.DataLoader(tensors, batch_size=None) if as_data_set else tensors
        )
    assert 600 < len(model.seen) < 700  # 1000 * (1 - 0.95**20) = 642 on average
    assert tensors.loader.epoch == 20


def test_lightning_trains_with_it_and_goes_on(tmp_path: Path) -> None:
    lightning: Any = pytest.importorskip("lightning.pytorch")
    plain = fresh()
    whole = values(batch for _ in range(2) for batch in plain)

    class Model(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
            self.seen: list[Any] = []

        def training_step(self, batch: Any, number: int) -> Any:
            self.seen += values([batch])
            return self.layer(batch[1].float()).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def fit(checkpoint: Path | None, max_steps: int) -> list[Any]:
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
        trainer.fit(model, to_torch(fresh()), ckpt_path=checkpoint, weights_only=False)
        return model.seen

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning itself warns
        seen = fit(None, max_steps=8)
        assert seen == whole[:8]
        assert seen + fit(tmp_path / "at_step=8.ckpt", max_steps=-1) == whole


def test_what_is_no_loader_is_refused() -> None:
    with pytest.raises(TypeError, match=r"loader must be a raybatch\.Loader"):
        to_torch(numbers(0, 3))  # type: ignore[arg-type]

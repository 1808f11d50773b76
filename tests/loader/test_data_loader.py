"""raybatch's `DataLoader`: batches, random numbers and errors as in PyTorch's, and saved states."""

from __future__ import annotations

import gc
import json
import os
import pickle
import random
import signal
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import raybatch as rb
from tests.drivers import wait_for

torch = pytest.importorskip("torch")

from torch.utils import data as torch_data  # noqa: E402

from raybatch.adapters.torch import DataLoader  # noqa: E402
from raybatch.errors import StateError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


class Boxes:
    """Samples for object detection: an image, its name, and any number of boxes."""

    def __len__(self) -> int:
        return 21

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "image": torch.full((3, 40, 40), float(index)),
            "name": f"image {index}",
            "target": {
                "boxes": torch.arange(4.0 * (index % 3)).reshape(-1, 4),
                "labels": torch.full((index % 3,), index),
            },
        }


def images_and_targets(samples: list[Any]) -> tuple[Any, ...]:
    """Return the images as one tensor, and the targets and names as lists."""
    images = torch.stack([sample["image"] for sample in samples])
    return images, [sample["target"] for sample in samples], [one["name"] for one in samples]


class Numbers:
    """A data set of the samples (`factor` × index, index)."""

    def __init__(self, length: int = 21) -> None:
        self.length = length
        self.factor = 10.0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return torch.tensor(self.factor * index), index


def same(one: Any, other: Any) -> bool:
    """Return whether two batches are equal in their types, values and memory layouts."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        layouts = [(tensor.dtype, tensor.shape, tensor.stride()) for tensor in (one, other)]
        return layouts[0] == layouts[1] and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def generator(seed: int = 5) -> Any:
    return torch.Generator().manual_seed(seed)


# Ways to use a loader, from PyTorch's documentation and examples. Each call makes new samplers.
USES: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "plain": lambda: (Numbers(), {}),
    "shuffled": lambda: (Numbers(), {"batch_size": 4, "shuffle": True}),
    "generator": lambda: (
        Numbers(),
        {"batch_size": 4, "shuffle": True, "generator": generator()},
    ),
    "drop_last": lambda: (Numbers(), {"batch_size": 4, "shuffle": True, "drop_last": True}),
    "without batches": lambda: (Boxes(), {"batch_size": None, "shuffle": True}),
    "collate_fn": lambda: (Boxes(), {"batch_size": 4, "collate_fn": images_and_targets}),
    "with replacement": lambda: (
        Numbers(),
        {"batch_size": 5, "sampler": torch_data.RandomSampler(Numbers(), True, 40)},
    ),
    "weighted": lambda: (
        Numbers(),
        {"batch_size": 5, "sampler": torch_data.WeightedRandomSampler([1.0, 3.0] * 10, 30)},
    ),
    "subset": lambda: (
        Numbers(),
        {"batch_size": 3, "sampler": torch_data.SubsetRandomSampler([2, 3, 5, 7, 11])},
    ),
    "batch sampler": lambda: (
        Numbers(),
        {"batch_sampler": torch_data.BatchSampler(torch_data.RandomSampler(Numbers()), 4, True)},
    ),
    "list of batches": lambda: (Numbers(), {"batch_sampler": [[1, 2], [3], (4, 5, 6)]}),
    "tensor data set": lambda: (
        torch_data.TensorDataset(torch.arange(60.0).reshape(20, 3), torch.arange(20)),
        {"batch_size": 8, "shuffle": True},
    ),
    "large": lambda: (
        torch_data.TensorDataset(torch.rand(12, 300_000, generator=generator())),
        {"batch_size": 4, "shuffle": True},
    ),
    "split": lambda: (
        torch_data.random_split(Numbers(), [0.5, 0.5], generator())[1],
        {"batch_size": 4, "shuffle": True},
    ),
    "keys": lambda: (
        {"a": torch.ones(2), ("b", 1): torch.zeros(2)},
        {"batch_size": 2, "sampler": [("b", 1), "a", "a"]},
    ),
}


@pytest.mark.parametrize("use", USES)
def test_batches_and_draws_are_those_of_pytorch(use: str, actors: rb.RayActorPool) -> None:
    def epochs(make: Callable[..., Any], **more: Any) -> list[Any]:
        dataset, options = USES[use]()
        torch.manual_seed(3)
        loader = make(dataset, **options, **more)
        # The numbers that a program draws after an epoch, as for dropout, must be the same too.
        return [(list(loader), torch.rand(1)) for _ in range(2)]

    expected = epochs(torch_data.DataLoader)
    assert same(epochs(DataLoader, pool=actors), expected)
    assert same(epochs(DataLoader), expected)


def test_ranks_are_those_of_a_distributed_sampler(actors: rb.RayActorPool) -> None:
    def epochs(make: Callable[..., Any], **more: Any) -> list[Any]:
        sampler = torch_data.DistributedSampler(Numbers(), num_replicas=2, rank=1, seed=4)
        loader = make(Numbers(), 4, sampler=sampler, **more)
        found = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            found.append((len(loader), list(loader)))
        return found

    expected = epochs(torch_data.DataLoader)
    assert not same(*expected)
    assert same(epochs(DataLoader, pool=actors), expected)


class Point(NamedTuple):
    x: Any
    y: Any


class Holder:
    """A user-defined object that holds a tensor."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Holder) and same(self.tensor, other.tensor)


def many_kinds(samples: list[Any]) -> Any:
    large = torch.arange(60_000.0).reshape(2, 3, 100, 100)
    return {
        "large": large,
        "channels last": large.to(memory_format=torch.channels_last),
        "bfloat16": large.to(torch.bfloat16),
        "uint16": large.to(torch.uint16),
        "a part in float8": large.to(torch.float8_e4m3fn)[0, 1],
        "bool": large > 5,
        "complex": large.to(torch.complex64),
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 4),
        "a part": torch.arange(10_000)[5:9],
        "point": Point(torch.ones(2), "text"),
        "holder": Holder(torch.ones(5000)),
        "none": None,
        "bytes": b"123",
        "numbers": [1, 2.5, True],
    }


def test_what_collate_fn_returns_keeps_its_types_and_layouts(actors: rb.RayActorPool) -> None:
    (batch,) = DataLoader(Numbers(2), 2, collate_fn=many_kinds, pool=actors)
    assert same(batch, many_kinds([]))
    assert batch["large"].sum() == many_kinds([])["large"].sum()


def test_tensors_lie_in_the_object_store_and_may_be_written_to(actors: rb.RayActorPool) -> None:
    loader = DataLoader(Boxes(), 8, collate_fn=images_and_targets, pool=actors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = list(loader)
        for batch in batches:
            batch[0].add_(1)
    address = batches[0][0].data_ptr()
    assert any(
        low <= address < high and "plasma" in line for low, high, line in memory_of_this_process()
    )
    assert [float(batch[0][0, 0, 0, 0]) for batch in batches] == [1.0, 9.0, 17.0]
    # The writes do not reach the next epoch.
    assert float(next(iter(loader))[0].max()) == 7.0


def memory_of_this_process() -> Iterator[tuple[int, int, str]]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(edge, 16) for edge in line.split()[0].split("-"))
        yield low, high, line


class Batched(Numbers):
    """A data set that reads all samples of a batch in one call."""

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [len(indices)] * len(indices)


def test_a_data_set_may_read_a_batch_at_once(actors: rb.RayActorPool) -> None:
    found = [batch.tolist() for batch in DataLoader(Batched(5), 3, pool=actors)]
    assert found == [[3, 3, 3], [2, 2]]


class Holding:
    """A data set that holds its data, and changes its tensor at each read."""

    def __init__(self) -> None:
        self.tensor = torch.zeros(4, 2000)
        self.array = np.zeros((4, 2000))

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.tensor[index].add_(1).clone(), self.array.flags.writeable, os.getpid()


def test_tensors_of_a_data_set_are_each_workers_own(actors: rb.RayActorPool) -> None:
    dataset = Holding()
    values: dict[int, list[float]] = {}
    for _ in range(3):
        for tensor, is_writable, pid in DataLoader(dataset, None, pool=actors):
            assert not is_writable  # arrays are shared and read-only
            values.setdefault(pid, []).append(float(tensor[0]))
    assert dataset.tensor.sum() == 0
    assert set(values) != {os.getpid()}
    # Each loader sends the original data set, and no worker sees the writes of another worker.
    assert {value for found in values.values() for value in found} == {1.0}


def test_a_changed_data_set_is_sent_again(actors: rb.RayActorPool) -> None:
    dataset = Numbers(2)
    loader = DataLoader(dataset, 2, pool=actors)
    assert next(iter(loader))[0].tolist() == [0.0, 10.0]
    dataset.factor = 3.0
    assert next(iter(loader))[0].tolist() == [0.0, 3.0]


class Reader(Numbers):
    """A data set whose samples say which worker read them."""

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        info = torch_data.get_worker_info()
        assert info.dataset is self
        return info.id, info.num_workers, self.began_as, os.getpid()


def begin(worker_id: int) -> None:
    dataset: Any = torch_data.get_worker_info().dataset
    dataset.began_as = (worker_id, os.getpid())


def test_workers_know_who_they_are(actors: rb.RayActorPool) -> None:
    actors.wait_until_up()
    loader = DataLoader(Reader(40), None, worker_init_fn=begin, pool=actors)
    for worker_id, num_workers, began_as, pid in [*loader, *loader]:
        assert worker_id in (0, 1)
        assert num_workers == 2
        assert began_as == [worker_id, pid] != [worker_id, os.getpid()]
    assert torch_data.get_worker_info() is None


class Files(Numbers):
    """A data set that reads files by relative paths."""

    def __getitem__(self, index: int) -> Any:
        return Path(f"{index}.txt").read_text()


def test_paths_of_a_data_set_may_be_relative(
    actors: rb.RayActorPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = DataLoader(Files(1), pool=actors)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.txt").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        assert list(loader) == [[name]]


class Drawing(Numbers):
    """Samples of random numbers from all global generators and from one that the data set holds."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.rng = np.random.default_rng(0)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return index, random.random(), np.random.rand(), torch.rand(()), self.rng.random()


def test_what_samples_draw_is_theirs_whoever_reads_them(actors: rb.RayActorPool) -> None:
    def epochs(batch_size: int, workers: rb.RayActorPool) -> list[Any]:
        options = {"shuffle": True, "generator": generator()}
        loader = DataLoader(Drawing(20), batch_size, pool=workers, **options)
        return [torch.cat([torch.stack(batch, 1) for batch in loader]) for _ in range(2)]

    first, second = epochs(4, actors)
    assert len({*first[:, 1:].flatten().tolist()}) == 80
    assert not {*first[:, 1].tolist()} & {*second[:, 1].tolist()}
    with rb.RayActorPool(1, num_cpus_per_actor=0) as one:
        again = epochs(5, one)
    assert torch.equal(again[0], first)
    assert torch.equal(again[1], second)


class Failing(Numbers):
    def __getitem__(self, index: int) -> Any:
        if index == 4:
            raise FileNotFoundError(2, "no such sample", "four.jpg")
        return index


def test_an_error_of_the_data_set_is_raised_as_it_is(actors: rb.RayActorPool) -> None:
    iterator = iter(DataLoader(Failing(9), 3, pool=actors))
    assert next(iterator).tolist() == [0, 1, 2]
    with pytest.raises(FileNotFoundError, match="no such sample") as caught:
        next(iterator)
    assert caught.value.filename == "four.jpg"
    assert "in __getitem__" in str(caught.value.__cause__)
    # A program that catches the error can continue, as with PyTorch's loader.
    assert [batch.tolist() for batch in iterator] == [[6, 7, 8]]


class Ending(Numbers):
    def __getitem__(self, index: int) -> Any:
        raise StopIteration


def test_a_data_set_that_raises_stop_iteration_does_not_end_the_loop(
    actors: rb.RayActorPool,
) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(DataLoader(Ending(), pool=actors))


class Waiting(Numbers):
    """A data set whose sample 1 can only be read once `file` exists."""

    def __init__(self, file: Path) -> None:
        super().__init__(6)
        self.file = file

    def __getitem__(self, index: int) -> Any:
        while index == 1 and not self.file.exists():
            time.sleep(0.01)
        return index


def test_a_batch_that_does_not_come_in_time_is_an_error(
    actors: rb.RayActorPool, tmp_path: Path
) -> None:
    loader = DataLoader(Waiting(tmp_path / "go"), 1, timeout=0.5, num_workers=2, pool=actors)
    iterator = iter(loader)
    try:
        assert next(iterator).tolist() == [0]
        with pytest.raises(RuntimeError, match=r"timed out after 0\.5 seconds"):
            next(iterator)
    finally:
        (tmp_path / "go").touch()
    assert next(iterator).tolist() == [2]


class Pids(Numbers):
    """Samples large enough for the object store, each with the id of the process that read it."""

    def __getitem__(self, index: int) -> tuple[Any, int]:
        time.sleep(0.01)
        return torch.full((50_000,), float(index)), os.getpid()


def test_a_worker_that_is_killed_costs_time_and_nothing_else(actors: rb.RayActorPool) -> None:
    loader = DataLoader(Pids(60), 2, shuffle=True, generator=generator(), pool=actors)
    order = list(torch_data.DataLoader(range(60), 2, shuffle=True, generator=generator()))
    found = []
    for batch, pids in loader:
        found.append(batch[:, 0].tolist())
        if len(found) == 5:
            os.kill(int(pids[0]), signal.SIGKILL)
    assert found == [numbers.tolist() for numbers in order]


def test_two_iterators_at_a_time_and_those_that_are_left(actors: rb.RayActorPool) -> None:
    loader = DataLoader(Numbers(6), 3, pool=actors)
    pairs = [(a.tolist(), b.tolist()) for _, a in loader for _, b in loader]
    one, two = [0, 1, 2], [3, 4, 5]
    assert pairs == [(one, one), (one, two), (two, one), (two, two)]
    for _ in loader:
        iterator = weakref.ref(iter(loader)._stream)
        break
    assert iterator() is None, "a loop that was left keeps what was made ahead"


def test_a_loader_has_actors_of_its_own_which_end_with_it(ray_cluster: None) -> None:
    loader = DataLoader(Pids(4), 2, num_workers=1)
    pids = {int(pid) for _ in range(2) for _, pids in loader for pid in pids}
    assert len(pids - {os.getpid()}) == 1, "the second epoch has other actors"
    gc.disable()  # the actor must end without garbage collection
    try:
        del loader
        wait_for(lambda: not Path(f"/proc/{min(pids)}").exists(), "the end of the actor", 30)
    finally:
        gc.enable()


def test_persistent_workers_draw_as_pytorchs_do(actors: rb.RayActorPool) -> None:
    def epochs(make: Callable[..., Any], **more: Any) -> list[Any]:
        torch.manual_seed(3)
        options = {"shuffle": True, "num_workers": 1, "persistent_workers": True}
        loader = make(Numbers(), 4, **options, **more)
        next(iter(loader))
        return [list(loader) for _ in range(2)]

    assert same(epochs(DataLoader, pool=actors), epochs(torch_data.DataLoader))


WRONG: list[dict[str, Any]] = [
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"persistent_workers": True},
    {"num_workers": 1, "prefetch_factor": -1},
    {"batch_size": 0},
    {"batch_size": None, "drop_last": True},
    {"sampler": [0], "shuffle": True},
    {"batch_sampler": [[0]], "batch_size": 2},
    {"num_workers": 1, "multiprocessing_context": "no such"},
]


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_wrong_arguments_are_pytorchs_errors(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as theirs:
        torch_data.DataLoader(Numbers(), **options)
    with pytest.raises(ValueError) as ours:
        DataLoader(Numbers(), **options)
    assert str(ours.value) == str(theirs.value)


class Stream(torch_data.IterableDataset):  # type: ignore[misc]
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


def test_what_is_no_map_style_data_set_or_no_pool_is_refused() -> None:
    loader: Any = rb.Loader(rb.ArrayDataSource([np.arange(4)]), 2)
    with pytest.raises(TypeError, match=r"batches already: use to_torch\(loader\) instead"):
        DataLoader(loader)
    with pytest.raises(TypeError, match=r"Stream is an iterable data set.*__getitem__"):
        DataLoader(Stream())
    with pytest.raises(TypeError, match="pool must be a raybatch pool, not 2"):
        DataLoader(Numbers(), pool=2)  # type: ignore[arg-type]


def test_the_part_of_a_data_set_that_cannot_be_sent_is_named(actors: rb.RayActorPool) -> None:
    dataset = Numbers()
    dataset.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"dataset\.lock is a _thread\.lock"):
        iter(DataLoader(dataset, pool=actors))


def test_attributes_are_those_of_pytorchs_loader() -> None:
    loader = DataLoader(Numbers(), 4, shuffle=True, num_workers=2, in_order=False)
    assert isinstance(loader, torch_data.DataLoader)
    assert (loader.batch_size, loader.num_workers, loader.prefetch_factor) == (4, 2, 2)
    assert loader.in_order is False
    assert isinstance(loader.sampler, torch_data.RandomSampler)
    assert len(loader) == 6
    copy = pickle.loads(pickle.dumps(loader))
    assert (copy.batch_size, copy.pool) == (4, None)


def test_threads_are_workers_too() -> None:
    torch.manual_seed(1)
    options: dict[str, Any] = {"shuffle": True, "collate_fn": images_and_targets}
    expected = list(torch_data.DataLoader(Boxes(), 4, **options))
    torch.manual_seed(1)
    with rb.ThreadPool(2) as pool:
        assert same(list(DataLoader(Boxes(), 4, **options, pool=pool)), expected)


# Saved states of a loader.


def shuffled(pool: Any, seed: int | None = None, **options: Any) -> DataLoader:
    held = None if seed is None else generator(seed)
    return DataLoader(Numbers(30), 4, shuffle=True, generator=held, pool=pool, **options)


def labels(batches: Any) -> list[Any]:
    return [label.tolist() for _, label in batches]


@pytest.mark.parametrize("seed", [None, 7], ids=["global generator", "own generator"])
@pytest.mark.parametrize("received", [0, 3, 8])
def test_a_state_goes_on_with_the_next_batch_in_line_or_on_a_pool(
    received: int, seed: int | None, actors: rb.RayActorPool
) -> None:
    for before, after in ((actors, None), (None, actors)):
        loader = shuffled(before, seed)
        list(loader)
        iterator = iter(loader)
        for _ in range(received):
            next(iterator)
        state = json.loads(json.dumps(loader.state_dict()))
        rest = labels(iterator)
        resumed = shuffled(after, None if seed is None else 99)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        drawn_before = torch.get_rng_state()
        assert labels(resumed) == rest
        assert torch.equal(torch.get_rng_state(), drawn_before) or seed is None
        if seed is not None:  # then the next epoch is the same too
            assert labels(resumed) == labels(loader)


def test_a_state_with_persistent_workers_goes_on_too(actors: rb.RayActorPool) -> None:
    loader = shuffled(actors, 7, num_workers=1, persistent_workers=True)
    list(loader)
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    expected = [labels(iterator), labels(loader)]
    resumed = shuffled(actors, 8, num_workers=1, persistent_workers=True)
    resumed.load_state_dict(state)
    assert [labels(resumed), labels(resumed)] == expected


def test_a_state_between_epochs_is_followed_by_the_next(actors: rb.RayActorPool) -> None:
    loader = shuffled(actors, 7)
    list(loader)
    state = loader.state_dict()
    assert state["received"] == 0
    assert state["epoch"] == 1
    resumed = shuffled(actors, 8)
    resumed.load_state_dict(state)
    assert labels(resumed) == labels(loader)


def test_the_position_of_a_loop_that_was_left_is_kept(actors: rb.RayActorPool) -> None:
    loader = shuffled(actors, 7)
    for number, _ in enumerate(loader):
        if number == 2:
            break
    assert loader.state_dict()["received"] == 3


class Counting:
    """A sampler with its own state: each epoch starts at a higher index."""

    def __init__(self) -> None:
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        self.start += 1
        yield from range(self.start, self.start + 6)

    def __len__(self) -> int:
        return 6

    def state_dict(self) -> dict[str, int]:
        return {"start": self.start}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = state["start"]


def test_the_state_of_a_sampler_is_part_of_it(actors: rb.RayActorPool) -> None:
    loader = DataLoader(Numbers(), 2, sampler=Counting(), pool=actors)
    list(loader)
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    resumed = DataLoader(Numbers(), 2, sampler=Counting(), pool=actors)
    resumed.load_state_dict(state)
    assert labels(resumed) == labels(iterator) == [[4, 5], [6, 7]]


def test_a_state_of_another_loader_is_refused(actors: rb.RayActorPool) -> None:
    state = DataLoader(Numbers(30), 4).state_dict()
    with pytest.raises(StateError, match="saved with 8 batches, but this loader has 11 batches"):
        DataLoader(Numbers(21), 2).load_state_dict(state)
    with pytest.raises(StateError, match="version"):
        DataLoader(Numbers(30), 4).load_state_dict({})

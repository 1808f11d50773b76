"""The loader: the same stream on every pool, epochs, and wrong arguments."""

from __future__ import annotations

import gc
import itertools
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource
from raybatch.batchup.work_pool import AbstractWorkerPool
from tests.session_pool import SessionPool


def grey(x: Any, *rest: Any) -> tuple[Any, ...]:
    return (x.mean(axis=-1).astype(np.float32), *rest)


def sources(photos: list[str]) -> dict[str, AbstractDataSource]:
    """Return one source of every kind that has random access."""
    images = rb.ImageFileAccessor(photos, size=(16, 24))
    labels = np.arange(len(photos), dtype=np.int32)
    plain = rb.ArrayDataSource([images, labels])
    subset = rb.ArrayDataSource(
        [images, labels], indices=np.arange(3, 33, 2), repeats=3, include_indices=True
    )
    numbers = rb.ArrayDataSource([np.arange(25.0)])
    weighted = rb.WeightedSampler(np.arange(1, len(photos) + 1))
    return {
        "array": plain,
        "pillow images": rb.ArrayDataSource([rb.NonUniformImageFileAccessor(photos), labels]),
        "subset, repeated": subset,
        "mapped": subset.map(lambda i, x, y: (*grey(x), i, y)),
        "composite": rb.CompositeDataSource([plain, numbers.map(lambda x: (x + 1,))]),
        "composite, nested, untrimmed": rb.CompositeDataSource(
            [plain, rb.CompositeDataSource([subset, numbers])], flatten=False, trim=False
        ),
        "choice": rb.ChoiceDataSource([plain, plain.map(grey)]),
        "choice, stratified": rb.ChoiceDataSource(
            [plain, subset.map(lambda i, x, y: (x, y))], True
        ),
        "composite of choices": rb.CompositeDataSource(
            [rb.ChoiceDataSource([plain, plain.map(grey)]), numbers]
        ),
        "weighted": rb.CompositeDataSource(
            [rb.ArrayDataSource([images], sampler=weighted), numbers]
        ),
    }


KINDS = [
    "array",
    "pillow images",
    "subset, repeated",
    "mapped",
    "composite",
    "composite, nested, untrimmed",
    "choice",
    "choice, stratified",
    "composite of choices",
    "weighted",
]
SHUFFLES: dict[str, Callable[[], Any]] = {
    "in order": lambda: None,
    "seed": lambda: 12345,
    "RandomState": lambda: np.random.RandomState(12345),
    "Generator": lambda: np.random.default_rng(12345),
}


@pytest.fixture(scope="module")
def pools(session_ray: SessionPool) -> Iterator[dict[str, AbstractWorkerPool]]:
    session_ray.close()  # the pools below need nearly all CPUs
    made: dict[str, AbstractWorkerPool] = {
        "1 actor": rb.RayActorPool(1),
        "3 actors": rb.RayActorPool(3, threads_per_actor=2, num_cpus_per_actor=0.5),
        "threads": rb.ThreadPool(3),
    }
    yield made
    for pool in made.values():
        pool.close()


# A weighted sampler draws samples at random, so it cannot go in order.
PROGRAMS = [(k, s) for k in KINDS for s in SHUFFLES if (k, s) != ("weighted", "in order")]


@pytest.mark.parametrize(("kind", "shuffle"), PROGRAMS)
def test_the_stream_does_not_depend_on_the_pool(
    kind: str, shuffle: str, photos: list[str], pools: dict[str, AbstractWorkerPool]
) -> None:
    source = sources(photos)[kind]
    rng = SHUFFLES[shuffle]()
    epochs = 2 if shuffle != "seed" else 1
    serial = [rb.stream_digest(source.batch_iterator(7, shuffle=rng)) for _ in range(epochs)]
    for pool in (None, *pools.values()):
        with rb.Loader(source, 7, shuffle=SHUFFLES[shuffle](), pool=pool) as loader:
            lengths = [len(loader)]
            assert [rb.stream_digest(loader) for _ in range(epochs)] == serial
            loader.set_epoch(0)
            assert lengths == [sum(1 for _ in loader)]


def test_kinds_are_all_tested(photos: list[str]) -> None:
    assert list(sources(photos)) == KINDS


def test_numpy_global_generator_is_copied_when_the_loader_is_made() -> None:
    source = rb.ArrayDataSource([np.arange(20)])
    np.random.seed(5)
    serial = rb.stream_digest(source.batch_iterator(6, shuffle=np.random))
    np.random.seed(5)
    loader = rb.Loader(source, 6, shuffle=np.random)
    np.random.seed(99)
    assert rb.stream_digest(loader) == serial


def test_shuffle_true_draws_one_seed() -> None:
    source = rb.ArrayDataSource([np.arange(100)])
    loader = rb.Loader(source, 100, shuffle=True)
    first, second = epoch_numbers(loader), epoch_numbers(loader)
    assert first != second
    loader.set_epoch(0)
    assert epoch_numbers(loader) == first
    assert epoch_numbers(rb.Loader(source, 100, shuffle=True)) != first


def epoch_numbers(loader: rb.Loader) -> list[int]:
    return [int(i) for (batch,) in loader for i in batch]


@pytest.fixture(params=["in line", "threads"])
def loader(request: pytest.FixtureRequest) -> Iterator[rb.Loader]:
    pool = rb.ThreadPool(2) if request.param == "threads" else None
    with rb.Loader(rb.ArrayDataSource([np.arange(23)]), 5, shuffle=1, pool=pool) as made:
        yield made


def test_epochs_differ_count_up_and_can_be_set(loader: rb.Loader) -> None:
    epochs = []
    for number in range(3):
        assert loader.epoch == number
        epochs.append(epoch_numbers(loader))
        assert sorted(epochs[-1]) == list(range(23))
    assert len({tuple(order) for order in epochs}) == 3
    loader.set_epoch(1)
    assert epoch_numbers(loader) == epochs[1]
    assert loader.epoch == 2
    with pytest.raises(ValueError, match="-1"):
        loader.set_epoch(-1)


def test_each_loop_is_an_epoch_of_its_own_finished_or_not(loader: rb.Loader) -> None:
    whole = []
    for epoch in range(4):
        loader.set_epoch(epoch)
        whole.append(epoch_numbers(loader))
    loader.set_epoch(0)
    for epoch, taken in enumerate([1, 5, 2, 3]):
        assert loader.epoch == epoch
        got = [int(i) for (batch,) in itertools.islice(loader, taken) for i in batch]
        assert got == whole[epoch][: 5 * taken]
    assert loader.epoch == 4
    loader.set_epoch(1)
    assert epoch_numbers(loader) == whole[1]


def test_a_loop_that_received_nothing_is_no_epoch(loader: rb.Loader) -> None:
    whole = epoch_numbers(loader)
    loader.set_epoch(0)
    for _ in range(3):
        iter(loader)
    assert loader.epoch == 0
    assert epoch_numbers(loader) == whole


def test_what_was_made_for_the_next_epoch_is_used_when_this_one_is_left() -> None:
    made: list[int] = []
    source = rb.ArrayDataSource([np.arange(6)]).map(lambda x: (made.append(int(x[0])), x))  # type: ignore[func-returns-value]
    for taken, wasted in [(4, 2), (1, 3)]:
        made.clear()
        with (
            rb.ThreadPool(1) as pool,
            rb.Loader(source, 1, pool=pool, prefetch=4, check_sample=False) as loader,
        ):
            list(itertools.islice(loader, taken))
            assert [int(x[0]) for _, x in loader] == list(range(6))
            pool.work_stream(iter([(int,)])).retrieve()
            assert len(made) <= taken + wasted + 6 + 4
            if taken == 4:  # by then, the next epoch is already being made
                assert made[:12] == [*range(6), *range(6)]


def test_skipped_batches_are_as_if_they_had_been_received(loader: rb.Loader) -> None:
    whole = [int(i) for _ in range(3) for i in epoch_numbers(loader)]
    loader.set_epoch(0)
    for count in range(14):
        loader.set_epoch(0)
        loader.skip(count)
        epochs, batches = divmod(count, 5)
        assert (loader.epoch, loader.batches_received) == (epochs, batches)
        rest = [int(i) for _ in range(3 - loader.epoch) for i in epoch_numbers(loader)]
        assert rest == whole[23 * epochs + 5 * batches :]
    loader.set_epoch(0)
    loader.skip(3)
    loader.skip(1)
    assert epoch_numbers(loader) == whole[20:23]
    with pytest.raises(ValueError, match="0 or more, not -1"):
        loader.skip(-1)
    with pytest.raises(ValueError, match="no epoch has any"):
        rb.Loader(rb.ArrayDataSource([np.arange(0)]), 5).skip(1)


def test_an_epoch_left_after_its_last_batch_is_complete(loader: rb.Loader) -> None:
    for number, _ in enumerate(loader):
        assert loader.epoch == 0, "not yet over in the body of its last batch"
        if number == len(loader) - 1:
            break
    assert loader.epoch == 1


def test_a_generator_draws_each_epoch_once_however_often_it_is_begun() -> None:
    source = rb.ArrayDataSource([np.arange(23)], repeats=2)
    rng = np.random.RandomState(7)
    serial = [[int(i) for (b,) in source.batch_iterator(5, shuffle=rng) for i in b] for _ in "123"]
    loader = rb.Loader(source, 5, shuffle=np.random.RandomState(7))
    next(iter(loader))
    assert epoch_numbers(loader) == serial[1]
    next(iter(loader))
    assert loader.epoch == 3
    loader.set_epoch(0)
    next(iter(loader))
    loader.set_epoch(2)
    assert epoch_numbers(loader) == serial[2]
    loader.set_epoch(1)
    assert epoch_numbers(loader) == serial[1]


def test_the_next_epoch_is_prepared_while_the_last_batches_are_consumed() -> None:
    made: list[int] = []
    source = rb.ArrayDataSource([np.arange(6)]).map(lambda x: (made.append(int(x[0])), x))  # type: ignore[func-returns-value]
    with (
        rb.ThreadPool(1) as pool,
        rb.Loader(source, 1, pool=pool, prefetch=3, check_sample=False) as loader,
    ):
        batches = iter(loader)
        for _ in range(6):
            next(batches)
        with pytest.raises(StopIteration):
            next(batches)
        # The only thread works in order: it makes the next epoch's first batches before this task.
        pool.work_stream(iter([(int,)])).retrieve()
        assert made[:9] == [0, 1, 2, 3, 4, 5, 0, 1, 2]


def test_in_line_batches_are_made_when_they_are_asked_for() -> None:
    made: list[int] = []
    source = rb.ArrayDataSource([np.arange(6)]).map(lambda x: (made.append(int(x[0])), x))  # type: ignore[func-returns-value]
    batches = iter(rb.Loader(source, 2, check_sample=False))
    assert made == []
    next(batches)
    assert made == [0]


def test_threads_that_share_an_iterator_lose_no_batch_in_silence() -> None:
    is_making, may_end = threading.Event(), threading.Event()

    def slow(numbers: Any) -> tuple[Any]:
        is_making.set()
        assert may_end.wait(30)
        return (numbers,)

    source = rb.ArrayDataSource([np.arange(6)]).map(slow)
    iterator = iter(rb.Loader(source, 2, check_sample=False))
    received: list[Any] = []
    thread = threading.Thread(target=lambda: received.append(next(iterator)))
    thread.start()
    assert is_making.wait(30)
    with pytest.raises(RuntimeError, match=r"two threads asked one iterator .* loop over the"):
        next(iterator)
    may_end.set()
    thread.join(30)
    rest = list(iterator)
    assert [batch[0].tolist() for batch in received + rest] == [[0, 1], [2, 3], [4, 5]]


def test_a_second_iterator_ends_the_first(loader: rb.Loader) -> None:
    for taken in (0, 1, 4):
        first = iter(loader)
        for _ in range(taken):
            next(first)
        second = iter(loader)
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"another iter\(\) .* make two loaders"):
                next(first)
        assert sum(1 for _ in second) == 5


def test_an_iterator_that_has_given_all_is_at_its_end_whatever_is_begun(loader: rb.Loader) -> None:
    first = iter(loader)
    for _ in range(len(loader)):
        next(first)
    second = iter(loader)
    assert list(first) == []
    assert len(list(second)) == 5


def test_set_epoch_ends_an_iteration(loader: rb.Loader) -> None:
    batches = iter(loader)
    next(batches)
    loader.set_epoch(3)
    with pytest.raises(RuntimeError, match=r"set_epoch\(\) moved the loader"):
        next(batches)


def test_an_exhausted_iterator_stays_exhausted(loader: rb.Loader) -> None:
    batches = iter(loader)
    assert sum(1 for _ in batches) == 5
    assert list(batches) == []
    assert loader.epoch == 1


def test_the_loader_lives_as_long_as_its_iterator() -> None:
    batches = iter(rb.Loader(rb.ArrayDataSource([np.arange(10)]), 5))
    gc.collect()
    assert sum(1 for _ in batches) == 2


def test_the_loader_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        loader = rb.Loader(rb.ArrayDataSource([np.arange(10)]), 5)
        for _ in loader:
            break
        gone = weakref.ref(loader)
        del loader
        assert gone() is None
    finally:
        gc.enable()


def test_empty_source() -> None:
    loader = rb.Loader(rb.ArrayDataSource([np.arange(0)]), 5)
    assert (len(loader), list(loader), list(loader), loader.epoch) == (0, [], [], 2)


class Failing(rb.sampling.AbstractSampler):
    """A sampler that raises an error after its first batch."""

    def num_indices_generated(self) -> int:
        return 9

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Any]:
        yield np.arange(3)
        raise ArithmeticError("no further")


def test_an_error_of_the_sampler_comes_after_the_batches_before_it(loader: rb.Loader) -> None:
    source = rb.ArrayDataSource([np.arange(9)], sampler=Failing())
    opened = rb.Loader(source, 3, pool=loader._producer.pool)
    batches = iter(opened)
    assert next(batches)[0].tolist() == [0, 1, 2]
    with pytest.raises(ArithmeticError):
        next(batches)
    assert list(batches) == []
    assert opened.state_dict()["epoch"] == 0, "the epoch was not completed"


class Uneven(rb.sampling.AbstractSampler):
    """A user-defined sampler that ignores `batch_size`."""

    def num_indices_generated(self) -> int:
        return 9

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Any]:
        yield from (np.arange(2), np.arange(2, 3), np.arange(3, 7), np.arange(7, 9))


def test_the_length_is_exact_for_a_sampler_that_cuts_batches_as_it_likes() -> None:
    loader = rb.Loader(rb.ArrayDataSource([np.arange(9)], sampler=Uneven()), 4)
    assert len(loader) == len(list(loader)) == 4


def test_an_epoch_that_a_finite_member_ends_has_a_length() -> None:
    endless = rb.ArrayDataSource([np.arange(4)], repeats=-1)
    source = rb.ChoiceDataSource([endless, rb.ArrayDataSource([np.arange(8)])])
    loader = rb.Loader(source, 2, shuffle=1)
    assert len(loader) == sum(1 for _ in source.batch_iterator(2, shuffle=1))


def test_a_source_without_end() -> None:
    source = rb.ArrayDataSource([np.arange(10)], repeats=-1)
    with rb.ThreadPool(1) as pool, rb.Loader(source, 4, shuffle=3, pool=pool) as loader:
        with pytest.raises(TypeError, match="no end"):
            len(loader)
        ours = list(itertools.islice(loader, 20))
    serial = list(itertools.islice(source.batch_iterator(4, shuffle=3), 20))
    assert rb.stream_digest(ours) == rb.stream_digest(serial)


def test_the_length_is_exact_where_chance_decides_it() -> None:
    source = rb.ChoiceDataSource([rb.ArrayDataSource([np.arange(n)]) for n in (30, 50, 40)])
    for seed in range(5):
        loader = rb.Loader(source, 3, shuffle=seed)
        for _ in range(3):
            expected = len(loader)
            assert sum(1 for _ in loader) == expected


def test_a_shuffle_of_0_is_told_since_it_shuffles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("raybatch.notices._told", {})  # forget the notices of other tests
    source = rb.ArrayDataSource([np.arange(20)])
    seeded = rb.Loader(source, 5, shuffle=True, seed=0)
    pickle.loads(pickle.dumps(seeded)).split(2)
    rb.Loader(source, 5, shuffle=False), rb.Loader(source, 5), rb.Loader(source, 5, shuffle=1)
    assert capsys.readouterr().err == ""
    zero = rb.Loader(source, 5, shuffle=0)
    assert "shuffle=0 shuffles: the 0 is a seed. Write shuffle=False" in capsys.readouterr().err
    assert rb.stream_digest(zero) == rb.stream_digest(seeded)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be 1 or more, not 0"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be an integer, not 2.5"),
        ({"shuffle": "yes"}, TypeError, "shuffle must be .* not 'yes'"),
        ({"shuffle": -1}, ValueError, "0 or more, not -1"),
        (
            {"pool": 4},
            TypeError,
            r"pool must be a pool such as rb.RayActorPool\(8\), not 4; workers=8",
        ),
        ({"prefetch": 4.0}, TypeError, "prefetch must be an integer, not 4.0"),
        ({"prefetch": 0}, ValueError, "prefetch must be 1 or more, not 0"),
        ({"recovery": 4}, TypeError, "recovery must be a Recovery, not 4"),
        (
            {"split": 2},
            TypeError,
            r"split must be a RankSplit or a tuple \(rank, world_size\), not 2",
        ),
        ({"split": (2, 2)}, ValueError, "rank must be from 0 to world_size - 1 = 1, not 2"),
        ({"split": (0.0, 2)}, TypeError, "RankSplit.rank must be an integer, not 0.0"),
        ({"seed": 7}, ValueError, "seed=7 has no effect without shuffle=True"),
        (
            {"seed": 7, "shuffle": 3},
            ValueError,
            "seed=7 goes with shuffle=True, not with shuffle=3",
        ),
        ({"seed": -7, "shuffle": True}, ValueError, "seed must be 0 or more, not -7"),
        ({"seed": True, "shuffle": True}, TypeError, "seed must be an integer, not True"),
        ({"workers": -1}, ValueError, "workers must be 0 or more, not -1"),
        ({"workers": 2, "pool": rb.ThreadPool(1)}, ValueError, "use one of the two"),
        ({"source": "train"}, TypeError, r"not 'train': use rb\.ImageFolder"),
        ({"source": [1, 2]}, TypeError, r"not a list: use rb\.ArrayDataSource\(\["),
        ({"source": rb.IteratorDataSource(iter([]))}, TypeError, "random access"),
        (
            {"source": rb.ArrayDataSource([np.arange(3)], sampler=rb.WeightedSampler(np.ones(3)))},
            NotImplementedError,
            "in order",
        ),
    ],
)
def test_wrong_arguments_raise_where_they_are_given(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    good: dict[str, Any] = {"source": rb.ArrayDataSource([np.arange(3)]), "batch_size": 2}
    with pytest.raises(error, match=message):
        rb.Loader(**{**good, **arguments})


def test_what_is_no_integer_is_named() -> None:
    source: Any = rb.ArrayDataSource([np.arange(3)])
    loader: Any = rb.Loader(source, 2)
    with pytest.raises(TypeError, match="epoch must be an integer, not '1'"):
        loader.set_epoch("1")
    with pytest.raises(TypeError, match=r"batches must be an integer, not 1\.0"):
        loader.skip(1.0)
    with pytest.raises(TypeError, match="index must be an integer, not slice"):
        source[:2]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: rb.Prefetch(0), ValueError),
        (lambda: rb.Prefetch(1.5), TypeError),  # type: ignore[arg-type]
        (lambda: rb.Prefetch(1, 0), ValueError),
        (lambda: rb.Prefetch(True), TypeError),
        (lambda: rb.Recovery(0), ValueError),
        (lambda: rb.Recovery(no_progress_timeout_s=0), ValueError),
    ],
)
def test_settings_are_checked_when_they_are_made(
    make: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make()

"""Each loop over a loader is an epoch: where it begins, what ends it, what it leaves behind."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import raybatch as rb


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

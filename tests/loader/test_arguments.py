"""Arguments of loaders: what shuffles, and what is refused where it is given."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import raybatch as rb


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
    first, second = rb.stream_digest(loader), rb.stream_digest(loader)
    assert first != second
    loader.set_epoch(0)
    assert rb.stream_digest(loader) == first
    assert rb.stream_digest(rb.Loader(source, 100, shuffle=True)) != first


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

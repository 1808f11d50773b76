"""Ranks: whatever their number, together they receive each epoch once."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from tests.sample_sources import all_sources, delivered, numbers

SIZES = [0, 1, 15, 16, 17, 100]


def ranks(samples: int, batch_size: int, world_size: int, last_batch: str) -> list[list[Any]]:
    """Return the batches of each rank, and check the length of its loader."""
    epochs = []
    for rank in range(world_size):
        split = rb.RankSplit(rank, world_size)
        loader = rb.Loader(
            numbers(0, samples), batch_size, shuffle=1, split=split, last_batch=last_batch
        )
        promised = len(loader)
        epochs.append(list(loader))
        assert len(epochs[-1]) == promised
    return epochs


def whole(samples: int, batch_size: int) -> list[list[int]]:
    return [delivered(b)[0] for b in rb.Loader(numbers(0, samples), batch_size, shuffle=1)]


@pytest.mark.parametrize("batch_size", [1, 4, 7])
@pytest.mark.parametrize("world_size", range(1, 17))
def test_keep_gives_every_sample_once(world_size: int, batch_size: int) -> None:
    for samples in SIZES:
        epochs = ranks(samples, batch_size, world_size, "keep")
        for step, together in enumerate(whole(samples, batch_size * world_size)):
            parts = [epoch[step][0].tolist() for epoch in epochs if step < len(epoch)]
            assert [i for part in parts for i in part] == together
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert max(map(len, epochs)) == len(whole(samples, batch_size * world_size))


@pytest.mark.parametrize("batch_size", [1, 4, 7])
@pytest.mark.parametrize("world_size", range(1, 17))
def test_drop_gives_every_rank_the_same_number_of_full_batches(
    world_size: int, batch_size: int
) -> None:
    for samples in SIZES:
        epochs = ranks(samples, batch_size, world_size, "drop")
        full = samples // (batch_size * world_size)
        assert [len(epoch) for epoch in epochs] == [full] * world_size
        got = [i for epoch in epochs for (batch,) in epoch for i in batch]
        assert len(got) == len(set(got)) == full * batch_size * world_size
        assert all(len(batch) == batch_size for epoch in epochs for (batch,) in epoch)


@pytest.mark.parametrize("batch_size", [1, 4, 7])
@pytest.mark.parametrize("world_size", range(1, 17))
def test_pad_gives_full_batches_in_which_every_sample_is_valid_once(
    world_size: int, batch_size: int
) -> None:
    for samples in SIZES:
        epochs = ranks(samples, batch_size, world_size, "pad")
        assert len({len(epoch) for epoch in epochs}) == 1
        got = []
        for epoch in epochs:
            for batch, valid in epoch:
                assert (valid.dtype, valid.shape, batch.shape) == (
                    bool,
                    (batch_size,),
                    (batch_size,),
                )
                got += batch[valid].tolist()
        assert sorted(got) == list(range(samples))


@pytest.mark.parametrize("last_batch", ["keep", "drop", "pad"])
@pytest.mark.parametrize("kind", ["choice", "stratified", "trimmed", "composite of choices"])
def test_short_batches_in_mid_epoch_follow_the_same_rule(kind: str, last_batch: str) -> None:
    for world_size in (1, 2, 3, 5):
        loaders = [
            rb.Loader(
                all_sources()[kind](),
                2,
                shuffle=5,
                split=rb.RankSplit(rank, world_size),
                last_batch=last_batch,
            )
            for rank in range(world_size)
        ]
        lengths = [len(loader) for loader in loaders]
        epochs = [list(loader) for loader in loaders]
        assert [len(epoch) for epoch in epochs] == lengths
        single = rb.Loader(all_sources()[kind](), 2 * world_size, shuffle=5, last_batch="keep")
        expected = [i for batch in single if last_batch != "drop" for i in delivered(batch)[0]]
        got = [
            i
            for epoch in epochs
            for batch in epoch
            for i in (batch[0][batch[-1]] if last_batch == "pad" else batch[0]).tolist()
        ]
        if last_batch == "drop":
            assert all(len(batch[0]) == 2 for epoch in epochs for batch in epoch)
        else:
            assert sorted(got) == sorted(expected)


@pytest.mark.parametrize("shuffle", [3, True, np.random.RandomState(3), None])
def test_split_gives_picklable_loaders_that_go_on_where_the_loader_is(shuffle: Any) -> None:
    loader = rb.Loader(numbers(0, 51), 4, shuffle=shuffle)
    list(loader)
    expected = sorted(range(51))
    parts = [pickle.loads(pickle.dumps(part)) for part in loader.split(3)]
    assert [part.epoch for part in parts] == [1, 1, 1]
    batches = [list(part) for part in parts]
    assert sorted(i for epoch in batches for (b,) in epoch for i in b.tolist()) == expected
    together = [b.tolist() for (b,) in pickle.loads(pickle.dumps(loader))]
    assert [i for b in together for i in b] == [int(i) for (b,) in loader for i in b]


def test_pad_without_a_sample_of_its_own_is_a_batch_with_nothing_valid() -> None:
    epochs = ranks(2, 4, 3, "pad")
    assert [epoch[0][1].tolist() for epoch in epochs] == [
        [True, False, False, False],
        [True, False, False, False],
        [False, False, False, False],
    ]


@pytest.mark.parametrize("last_batch", ["keep", "drop", "pad"])
@pytest.mark.parametrize("shuffle", [3, np.random.RandomState(3), None])
@pytest.mark.parametrize("received", [0, 2, None])
def test_split_equals_loaders_made_for_each_rank(
    shuffle: Any, last_batch: str, received: int | None
) -> None:
    """The loader is split before its first epoch, in the middle of it, or after it."""
    loader = rb.Loader(numbers(0, 50), 4, shuffle=shuffle, last_batch=last_batch)
    batches = itertools.islice(loader, received)
    list(batches)
    for rank, part in enumerate(loader.split(3)):
        alone = rb.Loader(
            numbers(0, 50), 4, shuffle=shuffle, last_batch=last_batch, split=rb.RankSplit(rank, 3)
        )
        alone.load_state_dict(loader.state_dict())
        for _ in range(2):
            assert [delivered(batch) for batch in part] == [delivered(batch) for batch in alone]


def test_the_ranks_of_a_seed_drawn_once_share_it_and_go_on_with_a_saved_one() -> None:
    saved, loader = (rb.Loader(numbers(0, 50), 4, shuffle=True) for _ in range(2))
    parts = loader.split(2)
    assert len({part.state_dict()["shuffle"] for part in [loader, *parts]}) == 1
    for part in [*parts, pickle.loads(pickle.dumps(loader))]:
        part.load_state_dict(saved.state_dict())
        assert part.state_dict() == saved.state_dict()


@pytest.mark.parametrize("last_batch", ["keep", "pad"])
def test_ranks_share_the_short_batches_of_a_choice_step_by_step(last_batch: str) -> None:
    for kind in ("choice", "stratified", "composite of choices"):
        source = all_sources()[kind]()
        parts = [
            list(part) for part in rb.Loader(source, 2, shuffle=5, last_batch=last_batch).split(5)
        ]
        for step, (first, *_) in enumerate(rb.Loader(source, 10, shuffle=5)):
            batches = [part[step] for part in parts if step < len(part)]
            shares = [b[0][b[-1]] if last_batch == "pad" else b[0] for b in batches]
            # If a batch has too few samples for all ranks, some ranks skip this step. Their later
            # batches then come one step earlier, so the comparison ends here.
            if last_batch == "pad" or len(first) >= 5:
                assert np.concatenate(shares).tolist() == first.tolist()
            else:
                break


@pytest.mark.parametrize("shuffle", [3, np.random.RandomState(3)])
def test_a_pickled_loader_goes_on_in_mid_epoch(shuffle: Any) -> None:
    with (
        rb.ThreadPool(2) as pool,
        rb.Loader(numbers(0, 50), 4, shuffle=shuffle, pool=pool) as loader,
    ):
        list(loader)
        batches = iter(loader)
        next(batches)
        with pickle.loads(pickle.dumps(loader)) as copy:
            assert [delivered(b) for b in copy] == [delivered(b) for b in batches]
            assert [delivered(b) for b in copy] == [delivered(b) for b in loader]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rb.RankSplit(0, 0), ValueError, "world_size must be 1 or more, not 0"),
        (lambda: rb.Loader(numbers(0, 9), 2).split(0), ValueError, "must be 1 or more, not 0"),
        (lambda: rb.Loader(numbers(0, 9), 2).split(-1), ValueError, "must be 1 or more, not -1"),
        (lambda: rb.RankSplit(2, 2), ValueError, "world_size - 1 = 1, not 2"),
        (lambda: rb.RankSplit(-1, 2), ValueError, "not -1"),
        (lambda: rb.RankSplit(0.5, 2), TypeError, "integer"),  # type: ignore[arg-type]
        (lambda: rb.Loader(numbers(0, 9), 2, last_batch="all"), ValueError, "not 'all'"),
        (lambda: rb.Loader(numbers(0, 9), 2, split=2), TypeError, "RankSplit"),  # type: ignore[arg-type]
        (
            lambda: rb.Loader(numbers(0, 8), 2, split=rb.RankSplit(0, 2)).split(2),
            ValueError,
            "already",
        ),
    ],
)
def test_wrong_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


UNTRIMMED = rb.CompositeDataSource([numbers(0, 10), numbers(100, 7)], trim=False)


@pytest.mark.parametrize("source", [UNTRIMMED, UNTRIMMED.map(lambda x, y: (x, y))])
def test_arrays_of_unequal_length_cannot_be_shared_out_padded_or_mapped(source: Any) -> None:
    for wrong in ({"split": rb.RankSplit(0, 3)}, {"last_batch": "pad"}):
        with pytest.raises(ValueError, match="trim=False"):
            rb.Loader(source, 2, **wrong)
    with pytest.raises(ValueError, match="trim=False"):
        rb.Loader(source, 2).split(2)
    with pytest.raises(ValueError, match="trim=False"):
        source.map_samples(lambda x, y, rng: (x, y))
    assert len(list(rb.Loader(source, 2))) == 4

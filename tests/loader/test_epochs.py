"""Epochs of `batches_per_epoch` batches, which may span several passes over the samples.

One test counts the samples that a program sees if it leaves each loop early.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from tests.sample_sources import PROGRAMS, SHUFFLES, all_sources, delivered, numbers

EPOCHS = 2
# The kinds of sources with short batches before the end of a pass.
UNEVEN = ("stratified", "trimmed", "choice", "composite of choices")


def epochs(loader: rb.Loader, last: int = EPOCHS) -> list[Any]:
    """Return the remaining batches of the epochs before `last`, each with its epoch number."""
    batches = []
    while loader.epoch < last:
        epoch = loader.epoch
        batches += [(epoch, delivered(batch)) for batch in loader]
    return batches


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(state))
    return copy


@pytest.mark.parametrize(
    ("kind", "shuffle", "last_batch"),
    [
        *((kind, shuffle, "keep") for kind, shuffle in PROGRAMS),
        *((kind, "seed", "drop") for kind in UNEVEN),
    ],
)
def test_the_rest_follows_from_every_batch(kind: str, shuffle: str, last_batch: str) -> None:
    def fresh() -> rb.Loader:
        return rb.Loader(
            all_sources()[kind](),
            4,
            shuffle=SHUFFLES[shuffle](),
            last_batch=last_batch,
            batches_per_epoch=9,
        )

    loader = fresh()
    states, batches = [loader.state_dict()], []
    for epoch in range(EPOCHS):
        assert len(loader) == 9
        for batch in loader:
            batches.append((epoch, delivered(batch)))
            states.append(through_json(loader.state_dict()))
    assert [epoch for epoch, _ in batches] == [0] * 9 + [1] * 9
    for count, state in enumerate(states):
        resumed = fresh()
        resumed.load_state_dict(state)
        assert epochs(resumed) == batches[count:]
    resumed.load_state_dict(states[5])
    (copy,) = resumed.split(1)
    assert epochs(copy) == batches[5:]


@pytest.mark.parametrize(("kind", "shuffle"), PROGRAMS)
def test_epochs_are_pieces_of_the_row_of_passes(kind: str, shuffle: str) -> None:
    plain = rb.Loader(all_sources()[kind](), 4, shuffle=SHUFFLES[shuffle]())
    row = [delivered(batch) for _ in range(8) for batch in plain]
    loader = rb.Loader(all_sources()[kind](), 4, shuffle=SHUFFLES[shuffle](), batches_per_epoch=7)
    for epoch in range(3):
        assert [delivered(batch) for batch in loader] == row[7 * epoch : 7 * epoch + 7]
    for epoch in (2, 0, 1):
        loader.set_epoch(epoch)
        got = [delivered(batch) for batch in itertools.islice(loader, 3)]
        assert got == row[7 * epoch : 7 * epoch + 3]
        assert loader.epoch == epoch + 1, "an epoch that was left early is followed by the next"
        assert delivered(next(iter(loader))) == row[7 * epoch + 7]
    loader.set_epoch(0)
    loader.skip(16)
    assert (loader.epoch, loader.batches_received) == (2, 2)
    assert [delivered(batch) for batch in loader] == row[16:21]


@pytest.mark.parametrize(
    ("shuffle", "options"),
    [("seed", {}), ("seed", {"repeats": -1}), ("seed", {"repeats": 2}), ("RandomState", {})],
)
def test_at_other_batch_sizes_and_ranks_the_same_samples_follow(shuffle: str, options: Any) -> None:
    def ranks(batch_size: int, world_size: int) -> list[rb.Loader]:
        source = numbers(0, 23, **options)
        return [
            rb.Loader(
                source,
                batch_size,
                shuffle=SHUFFLES[shuffle](),
                last_batch="pad",
                split=rb.RankSplit(rank, world_size),
                batches_per_epoch=7,
            )
            for rank in range(world_size)
        ]

    (loader,) = ranks(4, 1)
    row, states = [], [loader.state_dict()]
    for _ in range(14):
        for batch in loader:
            row.append(valid_samples(batch))
            states.append(through_json(loader.state_dict()))
    for count, state in enumerate(states[:15]):
        wanted = [i for batch in row[count:] for i in batch]
        for batch_size, world_size in [(3, 1), (2, 2), (5, 3), (1, 4)]:
            parts = ranks(batch_size, world_size)
            got = []
            for part in parts:
                part.load_state_dict(state)
            for _ in range(3):
                steps = zip(*parts, strict=True)
                got += [i for step in steps for batch in step for i in valid_samples(batch)]
            assert got == wanted[: len(got)]
            assert len(got) > 2 * 5 * batch_size * world_size


def valid_samples(batch: Any) -> list[int]:
    samples, valid = batch
    values: list[int] = samples[valid].tolist()
    return values


@pytest.mark.parametrize("last_batch", ["keep", "drop", "pad"])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_have_equal_numbers_of_batches(world_size: int, last_batch: str) -> None:
    whole = rb.Loader(
        numbers(0, 23), 2 * world_size, shuffle=1, last_batch=last_batch, batches_per_epoch=9
    )
    single = rb.Loader(numbers(0, 23), 2, shuffle=1, last_batch=last_batch, batches_per_epoch=9)
    loaders = single.split(world_size)
    for _ in range(2):
        parts = [list(loader) for loader in loaders]
        assert [len(part) for part in parts] == [9] * world_size
        for (whole_batch, *valid), *steps in zip(whole, *parts, strict=True):
            wanted = whole_batch[valid[0]] if valid else whole_batch
            got = [b[0][b[1]] if last_batch == "pad" else b[0] for b in steps]
            assert np.concatenate(got).tolist() == wanted.tolist()


def test_the_epochs_of_data_without_an_end_are_made_ahead() -> None:
    source = numbers(0, 10, repeats=-1)
    plain = rb.Loader(source, 4, shuffle=3)
    row = [delivered(batch) for batch in itertools.islice(plain, 60)]
    with rb.ThreadPool(2) as pool:
        loader = rb.Loader(source, 4, shuffle=3, pool=pool, batches_per_epoch=20)
        assert [[delivered(b) for b in loader] for _ in range(3)] == [
            row[:20],
            row[20:40],
            row[40:],
        ]
        stream = loader._course.stream
        list(loader)
        assert loader._course.stream is stream is not None


def test_a_far_epoch_is_as_near_as_the_first() -> None:
    loader = rb.Loader(numbers(0, 1000), 8, shuffle=3, batches_per_epoch=7)
    loader.set_epoch(10**12)
    number, batch = divmod(7 * 10**12, 125)
    plain = rb.Loader(numbers(0, 1000), 8, shuffle=3)
    plain.set_epoch(number)
    plain.skip(batch)
    assert delivered(next(iter(loader))) == delivered(next(iter(plain)))


def test_another_number_of_batches_ends_the_epoch_elsewhere() -> None:
    loader = rb.Loader(numbers(0, 100), 5, shuffle=1, batches_per_epoch=8)
    row = [delivered(batch) for _ in range(3) for batch in loader]
    loader.set_epoch(0)
    list(itertools.islice(loader, 6))
    state = through_json(loader.state_dict())
    for most, ends in [(10, [10, 20]), (4, [6, 10]), (6, [6, 12])]:
        other = rb.Loader(numbers(0, 100), 5, shuffle=1, batches_per_epoch=most)
        other.load_state_dict(state)
        assert [delivered(batch) for batch in other] == row[6 : ends[0]]
        assert other.epoch == 1
        assert [delivered(batch) for batch in other] == row[ends[0] : ends[1]]


def test_a_state_of_plain_epochs_goes_on_in_epochs_of_batches_and_not_back() -> None:
    plain = rb.Loader(numbers(0, 20), 5, shuffle=3)
    list(plain)
    next(iter(plain))
    loader = rb.Loader(numbers(0, 20), 5, shuffle=3, batches_per_epoch=3)
    loader.load_state_dict(plain.state_dict())
    rest = rb.Loader(numbers(0, 20), 5, shuffle=3)
    rest.load_state_dict(plain.state_dict())
    assert [delivered(batch) for batch in loader] == [
        delivered(batch) for batch in itertools.islice(rest, 2)
    ]
    with pytest.raises(
        rb.errors.StateError, match="batches_per_epoch 3, but this loader has no batches_per_epoch"
    ):
        plain.load_state_dict(loader.state_dict())


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (0, ValueError, "batches_per_epoch must be 1 or more, not 0"),
        (True, TypeError, "batches_per_epoch must be an integer, not True"),
        (2.0, TypeError, "batches_per_epoch must be an integer"),
    ],
)
def test_what_is_no_number_of_batches_is_refused(
    wrong: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rb.Loader(numbers(0, 20), 5, batches_per_epoch=wrong)


@pytest.mark.parametrize(("count", "last_batch"), [(0, "keep"), (4, "drop")])
def test_data_without_a_batch_is_refused(count: int, last_batch: str) -> None:
    with pytest.raises(ValueError, match=f"no batch: it has {count} samples"):
        rb.Loader(numbers(0, count), 5, last_batch=last_batch, batches_per_epoch=3)


def test_a_pass_that_chance_leaves_without_a_batch_does_not_end_the_epochs() -> None:
    # If the single number comes first, the parts of both batches have fewer than four samples.
    choice = rb.ChoiceDataSource([numbers(100, 1), numbers(200, 29)])
    source = rb.CompositeDataSource([numbers(0, 7), choice])
    plain = rb.Loader(source, 4, shuffle=5, last_batch="drop")
    row = [[delivered(batch) for batch in plain] for _ in range(20)]
    assert [] in row
    wanted = [batch for batches in row for batch in batches][:6]
    loader = rb.Loader(source, 4, shuffle=5, last_batch="drop", batches_per_epoch=3)
    assert [delivered(batch) for _ in range(2) for batch in loader] == wanted
    plain.set_epoch(0)
    plain.skip(5)
    assert delivered(next(iter(plain))) == wanted[5]


def test_loops_that_are_left_early_see_as_many_samples_as_with_a_data_loader() -> None:
    loader, seen = rb.Loader(numbers(0, 1000), 10, shuffle=0), set[int]()
    for _ in range(20):
        for (batch,) in itertools.islice(loader, 5):
            seen.update(batch.tolist())
    assert 600 < len(seen) < 700  # 1000 * (1 - 0.95**20) = 642 on average
    loader = rb.Loader(numbers(0, 1000), 10, shuffle=0, batches_per_epoch=5)
    assert sorted(i for _ in range(20) for (batch,) in loader for i in batch) == list(range(1000))

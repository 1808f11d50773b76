"""Bad samples raise an error, are skipped or are replaced, in the same way on every pool."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource, BadSample
from raybatch.making import make as making
from raybatch.making.request import Request
from raybatch.order.rows import Rows
from raybatch.order.seeds import NO_KEYS
from tests.sample_sources import Faulty, faulty

BAD = (3, 4, 5, 6, 7, 17)


def refuse_nine(x: Any, y: Any) -> tuple[Any, Any]:
    if 9 in x:
        raise ArithmeticError("no nines")
    return x, y


def jitter(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    return x + rng.integers(1000), y


def pairs_only(x: Any, y: Any) -> tuple[Any, Any]:
    if len(x) < 2:
        raise ValueError("one row has no standard deviation")
    return x, y


SOURCES: dict[str, Callable[[], AbstractDataSource]] = {
    "array": lambda: faulty(0, 23, *BAD),
    "subset": lambda: rb.ArrayDataSource([Faulty(0, 40, BAD)], indices=np.arange(1, 40, 2)),
    "repeated": lambda: rb.ArrayDataSource([Faulty(0, 9, (2, 5))], repeats=3),
    "map": lambda: faulty(0, 23, *BAD).map(refuse_nine),
    "map of samples": lambda: faulty(0, 23, *BAD).map_samples(jitter),
    "function of two rows or more": lambda: faulty(0, 23, 17).map(pairs_only),
    "composite": lambda: rb.CompositeDataSource([faulty(0, 23, *BAD), faulty(100, 23, 4, 20)]),
    "choice": lambda: rb.ChoiceDataSource([faulty(0, 23, *BAD), faulty(100, 17, 1)]),
    "stratified": lambda: rb.ChoiceDataSource([faulty(0, 23, *BAD), faulty(100, 11, 1)], True),
    "composite of choices": lambda: rb.CompositeDataSource(
        [rb.ChoiceDataSource([faulty(0, 23, *BAD), faulty(100, 17, 1)]), faulty(200, 31, 30)]
    ),
}


def without_limit(policy: str) -> rb.BadSamples:
    """Return `policy` without a limit: in some of the sources, a third of the samples are bad."""
    return rb.BadSamples(policy, limit=None)


def places(ledger: rb.BadSampleLedger) -> list[tuple[Any, ...]]:
    return [(bad.batch, bad.member, bad.index, bad.error, bad.message) for bad in ledger]


@pytest.mark.parametrize("policy", ["skip", "replace"])
@pytest.mark.parametrize("kind", SOURCES)
def test_threads_give_the_serial_stream_and_ledger(kind: str, policy: str) -> None:
    alone = rb.Loader(SOURCES[kind](), 4, shuffle=7, bad_samples=without_limit(policy))
    expected = rb.stream_digest(alone)
    assert len(alone.bad_samples) > 0
    with rb.ThreadPool(3) as pool:
        loader = rb.Loader(
            SOURCES[kind](), 4, shuffle=7, pool=pool, bad_samples=without_limit(policy)
        )
        assert rb.stream_digest(loader) == expected
        assert places(loader.bad_samples) == places(alone.bad_samples)


@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_actors_give_the_serial_streams_and_ledgers(policy: str, actors: rb.RayActorPool) -> None:
    for kind, make in SOURCES.items():
        alone = rb.Loader(make(), 4, shuffle=7, bad_samples=without_limit(policy))
        loader = rb.Loader(make(), 4, shuffle=7, pool=actors, bad_samples=without_limit(policy))
        digest = rb.stream_digest(alone)
        assert rb.stream_digest(loader) == digest, kind
        assert places(loader.bad_samples) == places(alone.bad_samples), kind


@pytest.mark.parametrize("policy", ["skip", "replace"])
@pytest.mark.parametrize("kind", SOURCES)
def test_an_epoch_resumes_at_every_batch(kind: str, policy: str) -> None:
    def loader() -> rb.Loader:
        return rb.Loader(SOURCES[kind](), 4, shuffle=7, bad_samples=without_limit(policy))

    whole = [[array.tolist() for array in batch] for batch in loader()]
    for position in range(len(whole)):
        first = loader()
        iterator = iter(first)
        head = [[array.tolist() for array in next(iterator)] for _ in range(position)]
        second = loader()
        second.load_state_dict(first.state_dict())
        assert head + [[array.tolist() for array in batch] for batch in second] == whole


def test_a_skipped_row_leaves_every_array_and_an_empty_batch_is_left_out() -> None:
    loader = rb.Loader(faulty(100, 10, 1, 4, 5, 6, 7), 4, bad_samples="skip")
    assert [[array.tolist() for array in batch] for batch in loader] == [
        [[100, 102, 103], [0, 2, 3]],
        [[108, 109], [8, 9]],
    ]
    assert [bad.index for bad in loader.bad_samples] == [1, 4, 5, 6, 7]
    assert loader.bad_samples[0] == BadSample(1, "ValueError", "1 is bad", epoch=0, batch=0)
    assert loader.bad_samples[4].batch == 1


def test_the_samples_beside_a_bad_one_keep_their_random_numbers() -> None:
    def rows(*bad: int) -> list[tuple[int, int]]:
        accessor = Faulty(0, 3, bad)
        source = rb.ArrayDataSource([accessor, np.arange(3)], repeats=9).map_samples(jitter)
        loader = rb.Loader(source, 4, shuffle=7, bad_samples="skip")
        return [(int(x), int(y)) for batch in loader for x, y in zip(*batch, strict=True)]

    assert len(set(rows())) == 27, "each time that a sample is drawn it is another"
    assert rows(1) == [(x, y) for x, y in rows() if y != 1]


def test_each_bad_sample_is_listed_once_as_it_was_met_first() -> None:
    loader = rb.Loader(faulty(0, 10, 4), 4, bad_samples="skip")
    for _ in range(3):
        assert len(list(loader)) == 3
    assert [(bad.index, bad.epoch, bad.batch) for bad in loader.bad_samples] == [(4, 0, 1)]


def test_a_replaced_row_is_another_sample_in_every_array() -> None:
    loader = rb.Loader(faulty(100, 30, *BAD), 4, shuffle=1, bad_samples="replace")
    rows = [(int(x), int(y)) for batch in loader for x, y in zip(*batch, strict=True)]
    assert len(rows) == 30
    assert all(x == 100 + y for x, y in rows)
    assert not {y for _, y in rows} & set(BAD)


def test_the_replacement_depends_on_seed_and_epoch_and_not_on_the_batch_size() -> None:
    def rows(batch_size: int, seed: int, epoch: int = 0) -> list[int]:
        loader = rb.Loader(faulty(0, 300, *BAD), batch_size, shuffle=seed, bad_samples="replace")
        loader.set_epoch(epoch)
        return [int(y) for _, batch in loader for y in batch]

    def replaced(seed: int, epoch: int = 0) -> dict[int, int]:
        plain = rb.Loader(rb.ArrayDataSource([np.arange(300)]), 300, shuffle=seed)
        plain.set_epoch(epoch)
        ((order,),) = plain
        pairs = zip(order.tolist(), rows(7, seed, epoch), strict=True)
        return {wanted: given for wanted, given in pairs if wanted != given}

    assert rows(4, 1) == rows(7, 1)
    assert set(replaced(1)) == set(replaced(2)) == set(BAD)
    assert len({tuple(sorted(replaced(s, e).items())) for s, e in ((1, 0), (2, 0), (1, 1))}) == 3


def test_a_source_of_bad_samples_alone_cannot_replace_any() -> None:
    loader = rb.Loader(faulty(0, 4, 0, 1, 2, 3), 2, bad_samples="replace")
    with pytest.raises(rb.errors.BatchError, match="were drawn to replace a bad one"):
        next(iter(loader))


@pytest.mark.parametrize("limit", [3, 0.31])
def test_more_bad_samples_than_the_limit_are_an_error(limit: float) -> None:
    setting = rb.BadSamples("skip", limit)
    loader = rb.Loader(faulty(0, 10, 0, 3, 8), 4, bad_samples=setting)
    for _ in range(3):  # the limit applies to each epoch separately
        assert len(list(loader)) == 3
    loader = rb.Loader(faulty(0, 10, 0, 3, 8, 9), 4, bad_samples=setting)
    batches = iter(loader)
    assert len(next(batches)[0]) == 2
    assert len(next(batches)[0]) == 4
    with pytest.raises(rb.errors.BadSamplesError, match=r"4 samples of epoch 0.*9 is bad"):
        next(batches)


@pytest.mark.parametrize(
    ("samples", "bad", "is_borne"),
    [
        (8, 7, True),
        (8, 8, False),
        (100, 10, True),
        (100, 11, False),
        (2000, 20, True),
        (2000, 21, False),
    ],
)
def test_by_default_one_in_a_hundred_may_be_bad_but_ten_in_any_case_and_never_all(
    samples: int, bad: int, is_borne: bool
) -> None:
    loader = rb.Loader(faulty(0, samples, *range(bad)), 4, bad_samples="skip")
    if is_borne:
        assert sum(len(x) for x, _ in loader) == samples - bad
    else:
        with pytest.raises(rb.errors.BadSamplesError, match=f"the limit is {bad - 1} "):
            list(loader)


def test_by_default_one_in_a_hundred_of_an_endless_source_may_be_bad() -> None:
    source = rb.ArrayDataSource([Faulty(0, 200, (0,))], repeats=-1)
    assert next(iter(rb.Loader(source, 1, bad_samples="skip")))[0] == 1, "the first may be bad"
    source = rb.ArrayDataSource([Faulty(0, 200, (50,))], repeats=-1)
    loader = rb.Loader(source, 10, bad_samples="skip")
    assert sum(len(x) for (x,) in islice(loader, 2000)) == 2000 * 10 - 100
    source = rb.ArrayDataSource([Faulty(0, 100, (50, 60))], repeats=-1)
    with pytest.raises(rb.errors.BadSamplesError, match="11 samples of epoch 0"):
        deque(rb.Loader(source, 10, bad_samples="skip"), maxlen=0)


def test_each_rank_counts_its_own_part_of_an_epoch() -> None:
    setting = rb.BadSamples("skip", 0.1)
    first, second = rb.Loader(faulty(0, 40, 0, 1, 8), 4, bad_samples=setting).split(2)
    with pytest.raises(rb.errors.BadSamplesError, match="the limit is 2 "):
        list(first)
    assert sum(len(x) for x, _ in second) == 20


@pytest.mark.parametrize(
    ("policy", "limit", "error"),
    [
        ("ignore", None, ValueError),
        ("skip", -1, ValueError),
        ("skip", 1.0, ValueError),
        ("skip", "1", TypeError),
        ("skip", True, TypeError),
    ],
)
def test_a_wrong_setting_is_refused(policy: str, limit: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="BadSamples"):
        rb.BadSamples(policy, limit)


def test_a_fraction_of_an_endless_source_is_refused() -> None:
    source = rb.ArrayDataSource([np.arange(5)], repeats=-1)
    with pytest.raises(ValueError, match="set limit to a count"):
        rb.Loader(source, 2, bad_samples=rb.BadSamples("skip", 0.1))


def test_arrays_of_unequal_length_cannot_lose_a_row() -> None:
    source = rb.CompositeDataSource([faulty(0, 5), faulty(0, 9)], trim=False)
    with pytest.raises(ValueError, match="trim=False"):
        rb.Loader(source, 2, bad_samples="skip")


@pytest.mark.parametrize("last_batch", ["keep", "pad"])
def test_padding_and_ranks_count_what_is_left(last_batch: str) -> None:
    options: dict[str, Any] = {"last_batch": last_batch, "bad_samples": "skip"}
    ranks = rb.Loader(faulty(0, 26, 9, 12), 4, **options).split(2)
    got = []
    for rank in ranks:
        for x, _, *valid in rank:
            got += x[valid[0]].tolist() if valid else x.tolist()
            assert last_batch == "keep" or len(x) == len(valid[0]) == 4
    assert sorted(got) == [i for i in range(26) if i not in (9, 12)]


def test_a_batch_that_other_ranks_count_on_is_not_left_out() -> None:
    first, _ = rb.Loader(faulty(0, 8, 0, 1), 2, bad_samples="skip").split(2)
    with pytest.raises(rb.errors.BatchError, match="other ranks get their part"):
        next(iter(first))


def test_a_loader_copied_by_pickle_keeps_its_setting() -> None:
    loader = rb.Loader(faulty(0, 10, 4), 4, bad_samples="skip", exclude=[1])
    copied = pickle.loads(pickle.dumps(loader))
    assert rb.stream_digest(copied) == rb.stream_digest(loader)
    assert len(copied.bad_samples) == 1


def test_sys_exit_in_the_users_code_is_a_bad_sample_too(actors: rb.RayActorPool) -> None:
    source = faulty(0, 10, 4, trouble="sys.exit")
    with rb.Loader(source, 4, pool=actors, bad_samples="skip") as loader:
        assert sum(len(x) for x, _ in loader) == 9
        assert loader.bad_samples[0].error == "SystemExit"


class TestRaising:
    def test_the_error_names_the_sample_and_its_cause_is_the_users(self) -> None:
        source = rb.CompositeDataSource([faulty(0, 10), faulty(0, 10, 6)])
        loader = rb.Loader(source, 4)
        batches = iter(loader)
        next(batches)
        message = r"batch 1 of epoch 0: sample 6 of member \(1,\): ValueError: 6 is bad"
        with pytest.raises(rb.errors.BatchError, match=message) as caught:
            next(batches)
        assert type(caught.value.__cause__) is ValueError
        assert len(next(batches)[0]) == 2

    def test_the_error_from_an_actor_names_it_too(self, actors: rb.RayActorPool) -> None:
        with rb.Loader(faulty(0, 10, 6), 4, pool=actors) as loader:
            with pytest.raises(rb.errors.BatchError, match="sample 6: ValueError") as caught:
                list(loader)
            assert type(caught.value.__cause__) is ValueError

    def test_an_image_that_cannot_be_read_is_named_by_its_path(
        self, photos: list[str], tmp_path: Path
    ) -> None:
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(b"no image")
        images = rb.ImageFileAccessor([*photos[:5], broken], size=(8, 8))
        source = rb.ArrayDataSource([images])
        with pytest.raises(rb.errors.BatchError, match=r"sample 5, .*broken.jpg.*Unidentified"):
            list(rb.Loader(source, 4))
        loader = rb.Loader(source, 4, bad_samples="skip")
        assert sum(len(x) for (x,) in loader) == 5
        (bad,) = loader.bad_samples
        assert (bad.path, bad.index, bad.error) == (str(broken), 5, "SampleReadError")

    def test_the_paths_of_the_users_own_accessor_are_named(self) -> None:
        accessor = Faulty(0, 4, (2,))
        accessor.paths = ["a", "b", "c", "d"]  # type: ignore[attr-defined]
        with pytest.raises(rb.errors.BatchError, match="sample 2, 'c'"):
            list(rb.Loader(rb.ArrayDataSource([accessor]), 4))


class TestLedger:
    @pytest.fixture
    def source(self) -> AbstractDataSource:
        return rb.CompositeDataSource([faulty(0, 23, *BAD), faulty(100, 23, 4, 20)])

    @pytest.mark.parametrize("name", ["bad.parquet", "bad.jsonl"])
    def test_a_saved_one_excludes_its_samples(
        self, source: AbstractDataSource, name: str, tmp_path: Path
    ) -> None:
        first = rb.Loader(source, 4, shuffle=1, bad_samples="skip")
        list(first)
        path = tmp_path / name
        first.bad_samples.save(path)
        assert [file.name for file in tmp_path.iterdir()] == [name]
        assert list(rb.BadSampleLedger.load(path)) == list(first.bad_samples)
        second = rb.Loader(source, 4, shuffle=1, exclude=path)
        delivered = [set(x.tolist()) for batch in second for x in batch[::2]]
        assert not set(BAD) & set.union(*delivered)
        assert second.num_samples == 17

    def test_another_name_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"\.parquet or \.jsonl"):
            rb.BadSampleLedger().save(tmp_path / "bad.csv")

    def test_that_of_another_source_is_refused(self, source: AbstractDataSource) -> None:
        first = rb.Loader(source, 4, bad_samples="skip")
        list(first)
        with pytest.raises(ValueError, match="different source"):
            rb.Loader(faulty(0, 23), 4, exclude=first.bad_samples)
        with pytest.raises(ValueError, match="different source"):
            rb.Loader(source, 4, exclude=[3])
        with pytest.raises(IndexError, match="3"):
            rb.Loader(faulty(0, 3), 4, exclude=[3])

    @pytest.mark.parametrize("exclude", [[1.5], [[1]], 3, {"a": 1}])
    def test_what_is_no_list_of_samples_is_refused(self, exclude: Any) -> None:
        with pytest.raises(TypeError, match="exclude must be"):
            rb.Loader(faulty(0, 23), 4, exclude=exclude)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"indices": np.arange(0, 20, 2)},
            {"sampler": rb.WeightedSampler(np.ones(20))},
            {"sampler": rb.WeightedSubsetSampler(np.ones(10), np.arange(10))},
        ],
    )
    def test_a_source_leaves_them_out_too(self, options: dict[str, Any]) -> None:
        source = rb.ArrayDataSource([np.arange(20)], exclude=np.array([2, 4]), **options)
        batches = source.batch_iterator(50, shuffle=1)
        (batch,) = next(batches)
        assert set(batch.tolist()).isdisjoint({2, 4})
        assert 6 in batch


@pytest.mark.parametrize("policy", ["raise", "skip", "replace"])
def test_a_rank_of_padding_alone_has_its_batch(policy: str) -> None:
    split = rb.RankSplit(1, 4)
    source = rb.ArrayDataSource([np.arange(9)])
    loader = rb.Loader(source, 2, split=split, last_batch="pad", bad_samples=policy)
    assert [valid.sum() for _, valid in loader] == [2, 0]


@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_a_known_bad_sample_beside_padding_counts_once(policy: str) -> None:
    source = rb.ArrayDataSource([np.arange(9)])
    rows = Rows.of(np.array([4, 5, 5, 5]))
    known = {place: BadSample(5, "", "it ended the worker") for row, place in rows.places() if row}
    request = Request(rows, NO_KEYS, 2, True, rb.BadSamples(policy), known)
    result = making.make(source, request)
    assert len(result.bad) == 1
    assert 5 not in result.batch[0]

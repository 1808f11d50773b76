"""Random numbers depend on the sample, not on the worker that makes its batch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource
from tests.sample_sources import delivered, numbers


def draw(x: Any, rng: np.random.Generator) -> tuple[Any, float]:
    return x, rng.random()


def by_sample(batches: Any) -> dict[int, float]:
    return {int(i): float(u) for x, u in batches for i, u in zip(x, u, strict=True)}


def test_the_result_does_not_depend_on_batch_size_ranks_pool_or_resume() -> None:
    source = numbers(0, 40).map_samples(draw)
    expected = by_sample(source.batch_iterator(7, shuffle=3))
    assert len(set(expected.values())) == 40
    assert by_sample(rb.Loader(source, 9, shuffle=3)) == expected
    with rb.ThreadPool(2) as pool, rb.Loader(source, 4, shuffle=3, pool=pool) as loader:
        assert by_sample(loader) == expected
    parts = [by_sample(part) for part in rb.Loader(source, 3, shuffle=3).split(4)]
    assert {i: u for part in parts for i, u in part.items()} == expected
    loader = rb.Loader(source, 5, shuffle=3)
    head = by_sample(itertools.islice(loader, 3))
    resumed = rb.Loader(source, 2, shuffle=3)
    resumed.load_state_dict(loader.state_dict())
    assert head | by_sample(resumed) == expected


def test_actors_give_the_same(actors: rb.RayActorPool) -> None:
    source = numbers(0, 40).map_samples(draw)
    with rb.Loader(source, 4, shuffle=3, pool=actors) as loader:
        assert rb.stream_digest(loader) == rb.stream_digest(source.batch_iterator(4, shuffle=3))


def test_epochs_seeds_members_and_stages_differ() -> None:
    source = numbers(0, 20).map_samples(draw)
    loader = rb.Loader(source, 5, shuffle=3)
    seen = [by_sample(loader), by_sample(loader), by_sample(rb.Loader(source, 5, shuffle=4))]
    both = rb.CompositeDataSource([source, numbers(0, 20).map_samples(draw)])
    for x, u, y, v in both.batch_iterator(20, shuffle=None):
        seen += [by_sample([(x, u)]), by_sample([(y, v)])]
    twice = source.map_samples(lambda x, u, rng: (x, u, rng.random()))
    for x, u, v in twice.batch_iterator(20):
        seen += [by_sample([(x, v)]), by_sample([(x, u)])]
    for sample in range(20):
        assert len({part[sample] for part in seen}) == len(seen)


@pytest.mark.parametrize(
    "source", [numbers(0, 9, repeats=4), numbers(0, 9, sampler=rb.WeightedSampler(np.ones(9)))]
)
def test_a_sample_that_comes_again_gets_other_numbers(source: Any) -> None:
    mapped = source.map_samples(draw)
    batches = list(itertools.islice(mapped.batch_iterator(6, shuffle=3), 6))
    drawn = [float(u) for _, us in batches for u in us]
    assert len(set(drawn)) == len(drawn) == 36
    other = (
        [float(u) for _, us in mapped.batch_iterator(4, shuffle=3) for u in us]
        if (source.num_samples() != np.inf)
        else [
            float(u)
            for _, us in itertools.islice(mapped.batch_iterator(4, shuffle=3), 9)
            for u in us
        ]
    )
    assert other == drawn


def test_with_a_generator_every_epoch_equals_the_serial_one() -> None:
    source = numbers(0, 20).map_samples(draw)
    rng = np.random.RandomState(5)
    loader = rb.Loader(source, 6, shuffle=np.random.RandomState(5))
    for _ in range(3):
        assert rb.stream_digest(loader) == rb.stream_digest(source.batch_iterator(6, shuffle=rng))


def test_members_keep_their_numbers_under_every_cut_of_the_epoch() -> None:
    """Batch size, ranks and resume change no numbers of composites, choices and maps over them."""
    plain, mapped = numbers(100, 24), numbers(0, 24).map_samples(draw)
    sources: dict[str, AbstractDataSource] = {
        "composite": rb.CompositeDataSource([mapped, plain]),
        "choice": rb.ChoiceDataSource([mapped, plain.map_samples(draw)], stratified=True),
        "over a choice": rb.ChoiceDataSource([numbers(0, 24), plain]).map_samples(draw),
        "over a composite": (
            rb.CompositeDataSource([numbers(0, 24), plain]).map_samples(
                lambda x, y, rng: (x, rng.random())
            )
        ),
    }
    for source in sources.values():
        expected = by_sample(batch[:2] for batch in rb.Loader(source, 4))
        assert len(set(expected.values())) == len(expected)
        loader = rb.Loader(source, 2, last_batch="keep")
        got = by_sample(batch[:2] for batch in itertools.islice(loader, 5))
        for part in loader.split(3):
            got |= by_sample(batch[:2] for batch in part)
        assert got == expected


def test_each_sample_is_a_row_of_every_array() -> None:
    source = rb.ArrayDataSource([np.arange(9), np.arange(9) * 10], indices=[8, 2, 5])
    (batch,) = source.map_samples(lambda x, y, rng: (x, x + y)).batch_iterator(3)
    assert delivered(batch) == [[8, 2, 5], [88, 22, 55]]


def test_a_batch_has_random_numbers_of_its_own() -> None:
    source = numbers(0, 20).map(lambda x, rng: (x, rng.random()), rng=True)
    loader = rb.Loader(source, 5, shuffle=3)
    first, second = ([u for _, u in loader] for _ in range(2))
    assert len(set(first + second)) == 8
    assert [u for _, u in source.batch_iterator(5, shuffle=3)] == first
    shared = [u for part in rb.Loader(source, 5, shuffle=3).split(2) for _, u in part]
    assert len(set(shared)) == 4


def test_a_map_of_a_map_has_random_numbers_of_its_own() -> None:
    source = numbers(0, 20).map(lambda x, rng: (rng.random(),), rng=True)
    for u, v in source.map(lambda u, rng: (u, rng.random()), rng=True).batch_iterator(5):
        assert u != v


def test_what_functions_return_is_stacked() -> None:
    def fn(x: Any, rng: Any) -> tuple[Any, ...]:
        return np.full((2, 3), x), float(x), Image.new("L", (4, 5)), (int(x), "name")

    (batch,) = numbers(0, 6).map_samples(fn).batch_iterator(6)
    arrays, floats, images, (ints, names) = batch
    assert (arrays.shape, floats.dtype, ints.tolist()) == ((6, 2, 3), float, list(range(6)))
    assert [type(images), type(names), len(images)] == [list, list, 6]


@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        (lambda x, rng: (np.zeros(int(x)),), TypeError, r"field 0 .*sample 0 has shape \(0,\)"),
        (lambda x, rng: (x,) * (1 + int(x)), TypeError, "the same members for every sample"),
        (lambda x: (x,), TypeError, "rng"),
    ],
)
def test_what_cannot_be_stacked_is_an_error(fn: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        next(numbers(0, 6).map_samples(fn).batch_iterator(6))


def test_sources_without_random_access_have_no_sample_to_key_by() -> None:
    source = rb.IteratorDataSource(iter([]))
    with pytest.raises(TypeError, match="random access"):
        source.map_samples(draw)
    with pytest.raises(TypeError, match="random access"):
        source.map(lambda x, rng: (x,), rng=True)


@pytest.mark.parametrize("shuffle", [None, 3, "RandomState"])
def test_a_parallel_source_gives_the_serial_stream(shuffle: Any) -> None:
    def rng() -> Any:
        return np.random.RandomState(3) if shuffle == "RandomState" else shuffle

    by_batch = numbers(0, 40).map(lambda x, rng: (x, rng.random(len(x))), rng=True)
    for source in (numbers(0, 40).map_samples(draw), by_batch):
        with rb.ThreadPool(2) as pool:
            parallel = pool.parallel_data_source(source).batch_iterator(7, shuffle=rng())
            serial = source.batch_iterator(7, shuffle=rng())
            assert rb.stream_digest(parallel) == rb.stream_digest(serial)


def test_samples_of_members_can_be_read_by_their_indices() -> None:
    def fn(*sample: Any, rng: Any) -> tuple[Any, ...]:
        return (*sample, rng.random())

    members = [numbers(0, 9), numbers(100, 9)]
    for source in (rb.CompositeDataSource([*members]), rb.ChoiceDataSource([*members])):
        mapped = source.map_samples(fn)
        for indices in source.batch_indices_iterator(4):
            *batch, drawn = mapped.samples_by_indices_nomapping(indices)
            expected = source.samples_by_indices_nomapping(indices)
            assert rb.stream_digest([tuple(batch)]) == rb.stream_digest([expected])
            assert len(set(drawn)) == len(drawn)


def test_a_sample_that_is_named_twice_draws_twice() -> None:
    for indices in ([3, 3, 3, 4], [4, 3]):
        source = rb.ArrayDataSource([np.arange(10)], indices=indices, repeats=2)
        drawn = [u for _, u in source.map_samples(draw).batch_iterator(4, shuffle=1)]
        assert len(set(np.concatenate(drawn))) == 2 * len(indices)

"""Return values of user-defined functions and array-likes, and the errors for wrong values."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.batchup.data_source import CallableDataSource, IteratorDataSource
from raybatch.errors import BatchError, ReturnError
from raybatch.image import augment
from tests.sample_sources import delivered, faulty, numbers


def pairs() -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(10), np.arange(10) * 2])


def without_return(x: Any, y: Any) -> Any:
    x + y


WRONG: dict[str, tuple[Any, str]] = {
    "None": (without_return, r"None \(a missing `return`\?\)"),
    "empty dict": (lambda x, y: {}, "{}"),
    "uneven dict": (
        lambda x, y: {"x": x, "y": y[:3]},
        r"{'x': ndarray int64\[4\], 'y': ndarray int64\[3\]}",
    ),
    "array": (lambda x, y: np.stack([x, y], 1), r"ndarray int64\[4, 2\]"),
    "list": (lambda x, y: [x, y], "list of 2"),
    "empty tuple": (lambda x, y: (), r"\(\)"),
    "number": (lambda x, y: 7, "7"),
    "unequal arrays": (lambda x, y: (x, y[:3]), r"\(ndarray int64\[4\], ndarray int64\[3\]\)"),
    "unequal lists": (lambda x, y: ([*x], [1]), r"\(list of 4, list of 1\)"),
    "nested": (lambda x, y: (x, (y, y[1:])), r"\(ndarray int64\[4\], \(nda.*\[3\]\)\)"),
    "in a dict": (
        lambda x, y: (x, {"y": y[1:]}),
        r"\(ndarray int64\[4\], {'y': ndarray int64\[3\]}\)",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("last_batch", ["keep", "pad"])
def test_a_function_of_batches_that_returns_something_else(kind: str, last_batch: str) -> None:
    fn, returned = WRONG[kind]
    name = rf"function .*{fn.__name__}>? \(.*test_returned\.py, line {fn.__code__.co_firstlineno}\)"
    loader = rb.Loader(pairs().map(fn), 4, last_batch=last_batch, check_sample=False)
    with pytest.raises(BatchError, match=rf"{name} returned .*{returned}, but must") as caught:
        next(iter(loader))
    assert isinstance(caught.value.__cause__, ReturnError)
    assert "sample 0" not in str(caught.value)


RIGHT = {
    "arrays": lambda x, y: (x, y),
    "one array": lambda x, y: (x,),
    "other rows than it was given": lambda x, y: (x[:1], y[:1]),
    "no rows": lambda x, y: (x[:0], y[:0]),
    "numbers for the whole batch": lambda x, y: (x, 0.3, "text", None, np.float32(1)),
    "nested": lambda x, y: ((x, y), [Image.new("L", (1, 1))] * len(x), {"y": y}),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_tuple_with_as_many_rows_in_each_member_is_a_batch(kind: str) -> None:
    assert len(list(rb.Loader(pairs().map(RIGHT[kind]), 4))) == 3


def test_the_arrays_of_an_untrimmed_composite_may_differ_in_length() -> None:
    source = rb.CompositeDataSource([numbers(0, 5), numbers(0, 9)], trim=False)
    batches = list(rb.Loader(source.map(lambda x, y: (-x, -y)), 4))
    assert [len(x) - len(y) for x, y in batches] == [0, -3]


class _Twice:
    def __call__(self, x: Any, y: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (_Twice(), r"an object of tests\.sources\.test_returned\._Twice"),
        (functools.partial(_Twice(), y=1), r"an object of tests\..*\._Twice"),
        (functools.partial(without_return), r"the function without_return \("),
        (np.add, "the function add"),
    ],
)
def test_what_is_no_plain_function_is_named_too(fn: Any, name: str) -> None:
    source = pairs() if "partial" not in repr(fn) or fn.keywords == {} else numbers(0, 10)
    with pytest.raises(ReturnError, match=rf"^{name}"):
        next(source.map(fn).batch_iterator(4))


def _by_index(*samples: Any) -> Any:
    return lambda x, y, rng: samples[min(int(x), len(samples) - 1)]


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (
            _by_index(None),
            r"returned None \(a missing `return`\?\), but must return a tuple, Named",
        ),
        (_by_index({}), "returned {}, but must"),
        (
            _by_index({"x": 1}, {"y": 1}),
            "returned {'y': 1}, but must .* different sample .* {'x': 1}",
        ),
        (_by_index({"x": 1}, (1,)), r"returned \(1,\), but must .* different sample .* {'x': 1}"),
        (_by_index(np.zeros(3)), r"returned ndarray float64\[3\], but must"),
        (_by_index((1,), (1, 2)), r"returned \(1, 2\), but must .* different sample .* \(1,\)"),
        (_by_index((1,), None), "returned None"),
        (_by_index(()), r"returned \(\), but must"),
    ],
)
def test_a_function_of_samples_that_returns_something_else(fn: Any, message: str) -> None:
    with pytest.raises(ReturnError, match=message):
        next(pairs().map_samples(fn).batch_iterator(4))


def takes_a_batch(batch: Any, *, scale: float = 1.0) -> Any:
    return batch


def adds(x: Any, y: Any, **options: Any) -> Any:
    return x + None, y


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            pairs().map(takes_a_batch),
            r"^the function takes_a_batch \(.*test_returned\.py, line \d+\) takes"
            r" \(batch, \*, scale=1\.0\), but is called with"
            r" \(ndarray int64\[4\], ndarray int64\[4\]\)$",
        ),
        (
            pairs().map_samples(without_return),
            r" takes \(x, y\), but is called with \(.*, rng=\.\.\.\)$",
        ),
        (pairs().map(augment.MixUp(num_classes=2)), r"^MixUp\(.*\) takes \(\*batch, rng\), but"),
        (pairs().map(adds), "^unsupported operand"),
        (pairs().map_samples(adds), "^unsupported operand"),
    ],
)
def test_the_error_of_a_call_shows_the_parameters_of_the_function(
    source: rb.MapDataSource, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        next(source.batch_iterator(4))


def test_a_source_without_random_access_is_checked_too() -> None:
    batches: Iterator[Any] = iter([(np.arange(3),)])
    with pytest.raises(ReturnError, match="must return a tuple"):
        next(IteratorDataSource(batches).map(lambda x: x).batch_iterator(3))


GIVEN = {
    "empty dict": {},
    "array": np.zeros((3, 2)),
    "list": [np.arange(3)],
    "None": None,
}


@pytest.mark.parametrize("kind", GIVEN)
@pytest.mark.parametrize("is_iterator", [False, True])
def test_what_a_function_or_an_iterator_gives_is_checked(kind: str, is_iterator: bool) -> None:
    """Without the check, a composite would mistake the rows of an array for fields."""

    def batches(batch_size: int) -> Iterator[Any]:
        return iter([GIVEN[kind]])

    given: Any = IteratorDataSource(batches(3)) if is_iterator else CallableDataSource(batches)
    name = "an object of .*list_iterator" if is_iterator else "the function .*batches"
    with pytest.raises(ReturnError, match=rf"{name}.* returned .*, but must return a tuple"):
        next(rb.CompositeDataSource([given, given]).batch_iterator(3))


def test_a_function_that_gives_no_iterator_is_named() -> None:
    source = CallableDataSource(lambda batch_size: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ReturnError, match=r"<lambda> .* must return an iterator over batches"):
        source.batch_iterator(3)


class Short:
    """An array-like that returns `given` for any indices."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def __len__(self) -> int:
        return 10

    def __getitem__(self, indices: Any) -> Any:
        return self.given


@pytest.mark.parametrize(
    ("given", "described"),
    [
        (None, r"None \(a missing `return`\?\)"),
        (np.zeros(3), r"ndarray float64\[3\]"),
        (["a"] * 5, "list of 5"),
        ((np.zeros(4), np.zeros(3)), r"\(ndarray float64\[4\], ndarray float64\[3\]\)"),
        (1.5, r"1\.5"),
    ],
)
@pytest.mark.parametrize("indices", [np.arange(4), slice(2, 6)])
def test_an_array_like_gives_a_row_for_each_index(given: Any, described: str, indices: Any) -> None:
    source = rb.ArrayDataSource([np.arange(10), Short(given)])
    with pytest.raises(ReturnError, match=rf"data\[1\], .*Short, returned {described} for 4 ind"):
        source.samples_by_indices_nomapping(indices)
    source = rb.ArrayDataSource([Short([1, 2, 3, 4])], include_indices=True)
    assert len(source.samples_by_indices_nomapping(indices)) == 2


@pytest.mark.parametrize("policy", ["raise", "skip", "replace"])
def test_no_sample_is_bad_for_what_a_function_returns(policy: str) -> None:
    """The last batch has only one sample, but the function is at fault."""
    loader = rb.Loader(
        numbers(0, 9).map(lambda x: x if len(x) == 1 else (x,)), 4, bad_samples=policy
    )
    received = []
    with pytest.raises(BatchError, match="epoch 0: ReturnError"):
        for batch in loader:
            received.append(batch)  # noqa: PERF402 - those before the error count
    assert len(received) == 2
    assert len(loader.bad_samples) == 0


def test_a_padded_batch_must_keep_its_rows() -> None:
    source = pairs().map(lambda x, y: (x[:3], y[:3]))
    with pytest.raises(BatchError, match="changed its 4 rows to 3"):
        next(iter(rb.Loader(source, 4, last_batch="pad")))


@pytest.mark.parametrize("name", ["none", "threads", "actors"])
def test_a_batch_without_samples_is_told_from_one_that_is_none(
    name: str, actors: rb.RayActorPool
) -> None:
    pool = {"none": None, "threads": rb.ThreadPool(1), "actors": actors}[name]
    with rb.Loader(faulty(0, 12, 4, 5, 6, 7), 4, bad_samples="skip", pool=pool) as loader:
        assert [delivered(batch)[0] for batch in loader] == [[0, 1, 2, 3], [8, 9, 10, 11]]
    with (
        rb.Loader(pairs().map(without_return), 4, pool=pool, check_sample=False) as loader,
        pytest.raises(BatchError, match="without_return"),
    ):
        list(loader)

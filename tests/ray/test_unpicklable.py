"""An object that cannot be sent to an actor: the error names the faulty part and a remedy."""

from __future__ import annotations

import functools
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import ray

import raybatch as rb
from raybatch.batchup.ray_pools import RayActorPool
from raybatch.pools.ray.unpicklable import unpicklable
from tests.sample_sources import numbers


class Holder:
    def __init__(self, held: Any) -> None:
        self.name = "a"
        self.held = held


class WithSlots:
    __slots__ = ("held", "name")

    def __init__(self) -> None:
        self.name, self.held = "a", threading.Lock()


class Reduced:
    def __reduce__(self) -> Any:
        return Holder, (threading.Lock(),)


class OwnState:
    def __getstate__(self) -> Any:
        return [1, threading.Lock()]

    def __setstate__(self, state: Any) -> None: ...


class Items(list[Any]):
    """A list that is pickled as an object with items."""


class Rows(Holder):
    """An array-like that holds another object."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, indices: Any) -> Any:
        return np.asarray(indices)


def with_variable() -> Callable[..., Any]:
    lock = threading.Lock()

    def locked(x: Any) -> Any:
        with lock:
            return (x,)

    return locked


def with_class_attribute() -> Any:
    class Local:
        lock = threading.Lock()

    return Local()


def with_default() -> Any:
    def fn(x: Any, lock: Any = threading.Lock()) -> Any:  # noqa: B008 - as a user may write it
        return (x, lock)

    return fn


def cyclic() -> Any:
    holder = Holder(None)
    holder.held = [holder, threading.Lock()]
    return holder


CULPRITS: dict[str, tuple[Callable[[], Any], str]] = {
    "attribute": (lambda: Holder(threading.Lock()), r"\.held is a _thread\.lock"),
    "deep": (lambda: Holder({"a": [1, Holder(threading.Lock())]}), r"\.held\['a'\]\[1\]\.held is"),
    "slot": (WithSlots, r"\.held is a _thread\.lock"),
    "variable": (with_variable, r"'s variable lock is a _thread\.lock"),
    "default": (with_default, r"\.__defaults__\[0\] is a _thread\.lock"),
    "class": (with_class_attribute, r"\.__class__\.lock is a _thread\.lock"),
    "partial": (
        lambda: functools.partial(print, file=threading.Lock()),
        r"\.keywords\['file'\] is",
    ),
    "method": (lambda: Rows(threading.Lock()).__len__, r"\.__self__\.held is a _thread\.lock"),
    "reduced": (Reduced, r"'s argument 0 is a _thread\.lock"),
    "state": (OwnState, r"'s state\[1\] is a _thread\.lock"),
    "items": (lambda: Items([threading.Lock()]), r"'s items\[0\] is a _thread\.lock"),
    "set": (lambda: {threading.Lock()}, r"\[0\] is a _thread\.lock"),
    "itself": (threading.Lock, r": thing is a _thread\.lock"),
    "connection": (lambda: Holder(sqlite3.connect(":memory:")), r"held is a sqlite3\.Connection"),
    "in a cycle": (cyclic, r"\.held"),
    "beside a reference": (
        lambda: [np.zeros(3), threading.Lock()],
        r"\[1\] is a _thread\.lock",
    ),
}


@pytest.mark.parametrize("kind", CULPRITS)
def test_the_part_is_named_with_the_reason_and_the_cure(kind: str) -> None:
    make, culprit = CULPRITS[kind]
    error = unpicklable("thing", make(), ValueError("Ray's own words"))
    assert isinstance(error, TypeError)
    with pytest.raises(TypeError, match=rf"the thing cannot be sent .*{culprit}"):
        raise error
    with pytest.raises(
        TypeError, match=r"\(cannot pickle '.*' object\)\. Create it in each process"
    ):
        raise error
    assert len(str(error).splitlines()) == 1
    assert "cannot pickle" in str(error.__cause__)


def test_an_iterator_is_to_be_a_list() -> None:
    error = unpicklable("thing", Holder(n for n in range(3)), ValueError())
    with pytest.raises(TypeError, match=r"thing\.held is a generator .* Make a list or an array"):
        raise error


def test_another_error_stays_what_it_is() -> None:
    error = ValueError("the store is full")
    assert unpicklable("thing", [1, 2], error) is error


@pytest.fixture
def pool(ray_cluster: None) -> Any:
    with RayActorPool(1, num_cpus_per_actor=0) as made:
        yield made


def test_a_source_is_refused_where_its_loader_is_made(pool: Any) -> None:
    member = rb.ArrayDataSource([np.arange(20), Rows(Holder(threading.Lock()))])
    source = rb.CompositeDataSource([numbers(0, 20), member]).map(lambda *arrays: arrays)
    where = r"source\.children\[0\]\.children\[1\]\.data\[1\]\.held\.held is a _thread\.lock"
    with pytest.raises(TypeError, match=where):
        rb.Loader(source, 10, pool=pool)
    with pytest.raises(TypeError, match=r"source\.fn's variable lock is"):
        rb.Loader(numbers(0, 20).map(with_variable()), 10, pool=pool)


def test_a_task_is_named_too(pool: Any) -> None:
    tasks = [(with_variable(), (1,)), (len, ([threading.Lock()],)), (len, ([1],))]
    stream = pool.work_stream(iter(tasks))
    with pytest.raises(TypeError, match=r"the task cannot .* task\.fn's variable lock"):
        stream.retrieve()
    with pytest.raises(TypeError, match=r"the task cannot .* task\.args\[0\]\[0\] is a _thread\."):
        stream.retrieve()
    assert stream.retrieve() == 1


def test_a_reference_to_what_is_in_the_store_is_no_culprit(ray_cluster: None) -> None:
    held = [ray.put(1), threading.Lock()]
    with pytest.raises(TypeError, match=r"thing\[1\] is a _thread\.lock"):
        raise unpicklable("thing", held, ValueError())

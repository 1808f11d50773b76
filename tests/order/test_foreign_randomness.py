"""Random numbers that the user's code draws depend on the sample, not on where it is made.

The code draws from `random`, `np.random`, torch, and generators that it holds.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch import foreign_randomness
from raybatch.accessors.reading import row_executor
from raybatch.foreign_randomness import ForeignRandomness, suspended
from raybatch.image import augment
from raybatch.object_graph import reached
from raybatch.order.seeds import NO_KEYS
from tests import drawing
from tests.sample_sources import numbers

COUNT = 24


@pytest.fixture(autouse=True)
def threads_end() -> Iterator[None]:
    """A wait for the threads of the pools at the end of each test.

    A late batch is made twice. The second attempt may still draw random numbers when the loop is
    over.
    """
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if re.fullmatch(r"raybatch-\d+", thread.name):
            thread.join()


def torch_or_none() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def drawn() -> tuple[float, ...]:
    """Return numbers from all global generators of the process.

    A draw of one normal number leaves another number cached in its generator.
    """
    torch = torch_or_none()
    of_torch = () if torch is None else (torch.rand(1).item(), torch.randn(1).item())
    return (random.random(), random.gauss(), np.random.rand(), np.random.randn(), *of_torch)


def by_globals(x: Any, rng: np.random.Generator | None = None) -> tuple[Any, np.ndarray]:
    return x, np.array(drawn())


class Holder:
    """A pipeline that holds its own generators, as those of albumentations do."""

    def __init__(self) -> None:
        self.parts: list[Any] = [np.random.default_rng(), np.random.RandomState(), random.Random()]
        torch = torch_or_none()
        self.of_torch = None if torch is None else torch.Generator()

    def draw(self) -> np.ndarray:
        some = [part.random() for part in self.parts] + [self.parts[1].randn()]
        torch = torch_or_none()
        if torch is not None:
            some.append(torch.rand(1, generator=self.of_torch).item())
        return np.array(some)

    def __call__(self, x: Any, rng: Any) -> tuple[Any, np.ndarray]:
        return x, self.draw()


class Items:
    """A data set whose samples are their index and the result of `draw()`."""

    def __init__(self, draw: Callable[[], Any], count: int = COUNT) -> None:
        self.draw, self.count = draw, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, np.ndarray]:
        return index, np.array(self.draw())


def noisy(image: Any, rng: Any) -> Any:
    """Return an image filled with a number that is drawn from `np.random`."""
    return Image.fromarray(np.full((4, 4), int(np.random.rand() * 2**32) % 251, np.uint8))


def more_noise(image: Any, rng: Any) -> Any:
    return Image.fromarray(np.asarray(image) ^ np.uint8(np.random.randint(256)))


def of_images(photos: list[str]) -> rb.ArrayDataSource:
    """Return a source of indices and of images that plain functions change."""
    change = augment.Compose([noisy, augment.RandomHorizontalFlip(), more_noise])
    images = rb.ImageFileAccessor(photos[:COUNT], (4, 4), mode="L", transform=change)
    return rb.ArrayDataSource([np.arange(COUNT), images])


SOURCES: dict[str, Callable[[list[str]], Any]] = {
    "globals": lambda photos: numbers(0, COUNT).map_samples(by_globals),
    "held generators": lambda photos: numbers(0, COUNT).map_samples(Holder()),
    "items": (
        lambda photos: rb.ArrayDataSource([rb.ItemAccessor(Items(drawn))]).map(
            lambda sample: sample
        )
    ),
    "items that hold generators": (
        lambda photos: rb.ArrayDataSource([rb.ItemAccessor(Items(Holder().draw))]).map(
            lambda sample: sample
        )
    ),
    "transforms": of_images,
}


def by_sample(batches: Any) -> dict[int, bytes]:
    return {int(i): np.asarray(u).tobytes() for x, u in batches for i, u in zip(x, u, strict=True)}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_sample_has_the_same_numbers_wherever_it_is_made(
    kind: str, photos: list[str], actors: rb.RayActorPool
) -> None:
    source = SOURCES[kind](photos)
    expected = by_sample(rb.Loader(source, 5, shuffle=3))
    assert len(set(expected.values())) >= COUNT - (2 if kind == "transforms" else 0)
    with rb.ThreadPool(3) as threads:
        for pool in (threads, actors):
            loader = rb.Loader(source, 4, shuffle=3, pool=pool)
            assert by_sample(loader) == expected
            other_epoch = by_sample(loader)
            assert sum(other_epoch[number] == expected[number] for number in expected) <= 2
    first = rb.Loader(source, 3, shuffle=3)
    head = by_sample(islice(first, 3))
    resumed = rb.Loader(source, 7, shuffle=3)
    resumed.load_state_dict(first.state_dict())
    assert head | by_sample(resumed) == expected


def test_a_batch_has_the_same_numbers_wherever_it_is_made(actors: rb.RayActorPool) -> None:
    source = numbers(0, COUNT).map(lambda x: (x, np.tile(by_globals(x)[1], (len(x), 1))))
    serial = rb.Loader(source, 6, shuffle=3)
    digest = rb.stream_digest(serial)
    assert rb.stream_digest(serial) != digest
    with rb.ThreadPool(3) as threads:
        for pool in (threads, actors):
            loader = rb.Loader(source, 6, shuffle=3, pool=pool)
            assert rb.stream_digest(loader) == digest


def test_albumentations_has_the_same_numbers_wherever_it_runs(
    photos: list[str], actors: rb.RayActorPool
) -> None:
    albumentations = pytest.importorskip("albumentations", reason="needs albumentations")
    pipeline = albumentations.Compose(
        [albumentations.RandomCrop(8, 8), albumentations.OneOf([albumentations.GaussNoise()], p=1)]
    )

    def changed(x: Any, image: Any, rng: Any) -> tuple[Any, Any]:
        return x, pipeline(image=image)["image"]

    images = rb.ImageFileAccessor(photos[:COUNT], (32, 32))
    source = rb.ArrayDataSource([np.arange(COUNT), images]).map_samples(changed)
    expected = by_sample(rb.Loader(source, 5))
    assert by_sample(rb.Loader(source, 5)) == expected
    with rb.ThreadPool(2) as threads:
        for pool in (threads, actors):
            assert by_sample(rb.Loader(source, 4, pool=pool)) == expected


def states() -> list[Any]:
    """Return the states of all global generators of the process, in a form that can be compared."""
    torch = torch_or_none()
    kind, key, *rest = np.random.get_state(legacy=True)
    held: list[Any] = [random.getstate(), (kind, np.asarray(key).tolist(), *rest)]
    return held if torch is None else [*held, torch.get_rng_state().tolist()]


def restored(before: list[Any]) -> None:
    torch = torch_or_none()
    random.setstate(before[0])
    np.random.set_state(before[1])
    if torch is not None:
        torch.set_rng_state(torch.tensor(before[2], dtype=torch.uint8))


@pytest.mark.parametrize("kind", SOURCES)
def test_the_program_draws_as_if_nothing_had_been_loaded(kind: str, photos: list[str]) -> None:
    source = SOURCES[kind](photos)
    drawn()  # now a normal number is cached for the next call
    before = states()
    for batch in rb.Loader(source, 5, shuffle=3):
        assert len(batch) == 2
        assert states() == before
    assert states() == before


def test_what_code_holds_is_as_it_was() -> None:
    holder = Holder()
    twins = [drawing.copied(part) for part in holder.parts]
    list(rb.Loader(numbers(0, COUNT).map_samples(holder), 5))
    assert [part.random() for part in holder.parts] == [twin.random() for twin in twins]


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_the_states_are_restored_after_an_error(kind: type[BaseException]) -> None:
    def fails(x: Any, rng: Any) -> Any:
        drawn()
        raise kind

    before = states()
    with pytest.raises(BaseException):  # noqa: B017 - that of the loader, or a KeyboardInterrupt
        list(rb.Loader(numbers(0, COUNT).map_samples(fails), 5))
    assert states() == before
    with pytest.raises(BaseException):  # noqa: B017
        list(rb.Loader(rb.ArrayDataSource([rb.ItemAccessor(Items(partial(fails, 0, 0)))]), 5))
    assert states() == before
    # The lock on the generators is released too, or the thread of this pool would wait for it.
    with rb.ThreadPool(1) as pool:
        list(rb.Loader(numbers(0, COUNT).map_samples(by_globals), 5, pool=pool))


@pytest.mark.parametrize("kind", ["map", "map_samples", "items"])
def test_turned_off_nothing_is_touched(kind: str) -> None:
    def draw(x: Any = 0, rng: Any = None) -> Any:
        seen.append(drawn())
        return x, x

    seen: list[Any] = []
    makers: dict[str, Callable[[], Any]] = {
        "map": lambda: numbers(0, 4).map(draw, seed_globals=False),
        "map_samples": lambda: numbers(0, 4).map_samples(draw, seed_globals=False),
        "items": lambda: rb.ArrayDataSource([rb.ItemAccessor(Items(draw, 4), seed_globals=False)]),
    }
    source = makers[kind]()
    before = states()
    list(source.batch_iterator(2))
    restored(before)
    assert seen == [drawn() for _ in seen]
    assert len(seen) == (2 if kind == "map" else 4)


def test_turned_off_a_held_generator_goes_on() -> None:
    holder = Holder()
    twin = drawing.copied(holder.parts[0])
    list(numbers(0, 4).map_samples(holder, seed_globals=False).batch_iterator(4))
    assert [twin.random() for _ in range(5)][4] == holder.parts[0].random()


def test_a_shuffle_draws_from_the_programs_generator_as_ever() -> None:
    plain = numbers(0, COUNT)
    mapped = plain.map_samples(by_globals)
    orders = []
    for source in (plain, mapped):
        np.random.seed(5)
        orders.append([batch[0].tolist() for batch in source.batch_iterator(5, shuffle=True)])
        orders.append([np.random.rand()])
    assert orders[:2] == orders[2:]


def test_what_rng_draws_is_as_without() -> None:
    def both(x: Any, rng: np.random.Generator) -> tuple[Any, float]:
        drawn()
        return x, rng.random()

    batches = zip(
        numbers(0, COUNT).map_samples(both).batch_iterator(5),
        numbers(0, COUNT).map_samples(both, seed_globals=False).batch_iterator(5),
        strict=True,
    )
    assert all((one[1] == other[1]).all() for one, other in batches)


class AtOnce(Items):
    """Items that can return all samples of a batch at once, as `torch.utils.data.Subset` can."""

    def __init__(self, draw: Callable[[], Any]) -> None:
        super().__init__(draw)
        self.asked: list[int] = []

    def __getitems__(self, indices: list[int]) -> list[Any]:
        self.asked.append(len(indices))
        return [self[index] for index in indices]


def test_items_that_draw_are_not_read_at_once() -> None:
    one_by_one = rb.ArrayDataSource([rb.ItemAccessor(Items(drawn))])
    items = AtOnce(drawn)
    at_once = rb.ArrayDataSource([rb.ItemAccessor(items)])
    for ((_, one),), ((_, other),) in zip(
        *(source.batch_iterator(5) for source in (one_by_one, at_once)), strict=True
    ):
        assert (one == other).all()
    assert items.asked == [5], "it is known after the first time"
    quiet = AtOnce(lambda: 0.0)
    list(rb.ArrayDataSource([rb.ItemAccessor(quiet)]).batch_iterator(5))
    assert quiet.asked == [5, 5, 5, 5, 4]


def test_two_fields_of_a_sample_draw_the_same() -> None:
    fields = [rb.ItemAccessor(Items(drawn)), rb.ItemAccessor(Items(drawn))]
    for (_, one), (_, other) in rb.ArrayDataSource(fields).batch_iterator(5, shuffle=1):
        assert (one == other).all()


def test_no_two_generators_have_one_seed() -> None:
    torch = torch_or_none()
    generators = [np.random.RandomState(), np.random.RandomState()]

    def draw(x: Any, rng: Any) -> tuple[Any, Any]:
        words = [np.random.randint(2**32, dtype=np.uint32)]
        words += [generator.randint(2**32, dtype=np.uint32) for generator in generators]
        words.append(rng.integers(2**32, dtype=np.uint32))
        if torch is not None:
            words.append(torch.randint(2**32, (1,)).item())
        return x, len(set(map(int, words))) == len(words)

    for _, differ in numbers(0, COUNT).map_samples(draw).batch_iterator(5):
        assert all(differ)


def test_alone_it_draws_as_epoch_0_of_seed_0() -> None:
    accessor = rb.ItemAccessor(Items(drawn))
    source = rb.ArrayDataSource([accessor])
    ((_, expected),) = next(iter(rb.Loader(source, COUNT, shuffle=None)))
    assert (accessor[np.arange(COUNT)][1] == expected).all()
    assert (accessor[3][1] == expected[3]).all()


def test_a_function_after_another_in_a_transform_goes_on_with_its_numbers(
    photos: list[str],
) -> None:
    change = augment.Compose([noisy, more_noise])
    images = rb.ImageFileAccessor(photos[:COUNT], (4, 4), mode="L", transform=change)
    plain = rb.ImageFileAccessor(photos[:COUNT], (4, 4), mode="L")

    def changed(image: Any, rng: Any) -> tuple[Any]:
        return (np.asarray(change(Image.fromarray(image), rng=rng)),)

    (one,) = next(iter(rb.ArrayDataSource([images]).batch_iterator(COUNT, shuffle=2)))
    mapped = rb.ArrayDataSource([plain]).map_samples(changed)
    (other,) = next(iter(mapped.batch_iterator(COUNT, shuffle=2)))
    assert (one == other).all()


def test_what_a_cache_keeps_is_changed_with_the_numbers_of_the_sample(
    photos: list[str], tmp_path: Path
) -> None:
    change = augment.Compose([augment.RandomVerticalFlip(), noisy, more_noise])
    images = rb.ImageFileAccessor(photos[:COUNT], (4, 4), mode="L", transform=change)
    cached = rb.CachedAccessor(images, tmp_path, 2**20)
    streams = [
        rb.ArrayDataSource([array]).batch_iterator(5, shuffle=2) for array in (images, cached)
    ]
    assert all((one == other).all() for (one,), (other,) in zip(*streams, strict=True))


def nested_sums(pool: Any) -> Callable[[], float]:
    """Return a function that draws, loads batches whose samples draw too, and draws again."""

    def draw() -> float:
        before = np.random.rand()
        inner = rb.Loader(numbers(0, 6).map_samples(by_globals), 2, shuffle=1, pool=pool)
        return before + sum(float(u.sum()) for _, u in inner) + np.random.rand()

    return draw


def test_code_that_loads_batches_itself_waits_for_nobody() -> None:
    def outer(pool: Any, inner: Any) -> list[bytes]:
        items = rb.ItemAccessor(Items(nested_sums(inner), 6))
        source = rb.ArrayDataSource([items])
        return list(by_sample(sample for (sample,) in rb.Loader(source, 2, pool=pool)).values())

    before, threads = states(), set(threading.enumerate())
    expected = outer(None, None)
    assert states() == before
    with rb.ThreadPool(2) as one, rb.ThreadPool(2) as other:
        assert outer(None, other) == expected
        assert outer(one, other) == expected
    for thread in set(threading.enumerate()) - threads:
        thread.join()
    assert states() == before


def test_rows_on_threads_may_draw_within_code_that_draws(photos: list[str]) -> None:
    images = rb.ImageFileAccessor(photos[:6], (4, 4), mode="L", transform=noisy)

    def draw() -> float:
        before = np.random.rand()
        return before + float(images[np.arange(6)].sum()) + np.random.rand()

    def batch() -> list[float]:
        values: list[float] = rb.ItemAccessor(Items(draw, 3))[np.arange(3)][1].tolist()
        return values

    expected = batch()
    with ThreadPoolExecutor(2) as executor, row_executor(executor):
        assert batch() == expected


def test_threads_do_not_mix() -> None:
    foreign, rng = ForeignRandomness(drawn), NO_KEYS.of_sample(1)
    with foreign.seeded(rng):
        expected = [drawn() for _ in range(50)]
    results: list[Any] = []

    def work() -> None:
        with foreign.seeded(rng):
            results.append([drawn() for _ in range(50)])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert results == [expected] * 8


def test_a_long_wait_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(foreign_randomness, "_WAIT_S", 0.01)
    foreign, rng = ForeignRandomness(drawn), NO_KEYS.of_sample(1)
    told, ended = threading.Event(), threading.Event()
    monkeypatch.setattr(foreign_randomness, "tell", lambda text: told.set())

    def work() -> None:
        with foreign.seeded(rng):
            ended.set()

    with foreign.seeded(rng):
        thread = threading.Thread(target=work)
        thread.start()
        assert told.wait(30)
        assert not ended.is_set()
    thread.join()
    assert ended.is_set()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("inside", [False, True])
def test_a_forked_process_has_a_turn_of_its_own(inside: bool) -> None:
    foreign, rng = ForeignRandomness(drawn), NO_KEYS.of_sample(1)
    taken, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with foreign.seeded(rng):
            taken.set()
            leave.wait()

    def child() -> int:
        pid = os.fork()
        if pid == 0:
            worker = threading.Thread(target=drawn_in_turn, daemon=True)
            with suspended():
                worker.start()
                worker.join(30)
            os._exit(int(worker.is_alive()))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def drawn_in_turn() -> None:
        with foreign.seeded(rng):
            drawn()

    if inside:
        with foreign.seeded(rng):
            assert child() == 0
        return
    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    try:
        assert child() == 0
    finally:
        leave.set()
        holder.join()


def test_torch_that_a_function_imports_is_seeded_from_its_first_sample() -> None:
    pytest.importorskip("torch", reason="needs torch")
    program = """
import sys
import numpy as np
import raybatch as rb

def draw(x, rng):
    import torch
    return x, torch.rand(1).item()

assert "torch" not in sys.modules
source = rb.ArrayDataSource([np.arange(6)]).map_samples(draw)
first, second = ([u.tolist() for _, u in source.batch_iterator(6)] for _ in range(2))
print(first == second)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("True\n", "")


@pytest.mark.parametrize("code", drawing.WAYS, ids=list(drawing.WAYS))
def test_generators_are_found(code: str) -> None:
    fn = drawing.WAYS[code]()
    foreign = ForeignRandomness(fn)
    values = []
    for _ in range(2):
        with foreign.seeded(NO_KEYS.of_sample(1)):
            values.append(fn())
    assert values[0] == values[1]
    assert not ForeignRandomness(fn, seed_globals=False).held()


def test_a_cache_refuses_items_that_may_draw(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="seed_globals=False"):
        rb.CachedAccessor(rb.ItemAccessor(Items(drawn)), tmp_path, 10**6, key="1")


class MadeLate:
    """A function that makes its generator when it is first called."""

    rng: Any = None

    def __call__(self, x: Any, rng: Any) -> Any:
        if self.rng is None:
            self.rng = np.random.default_rng()
        return x, self.rng.random()


def test_a_generator_that_is_made_at_the_first_call_is_told_and_seeded_from_then_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    streams = []
    for _ in range(2):
        source = rb.ArrayDataSource([np.arange(8)]).map_samples(MadeLate())
        streams.append([u.tolist() for _, u in rb.Loader(source, 4, check_sample=False)])
    assert streams[0][0] != streams[1][0]
    assert streams[0][1] == streams[1][1]
    assert "made a random generator, a Generator, during its first call" in capsys.readouterr().err


def test_a_search_does_not_go_through_raybatch_itself() -> None:
    source = rb.ArrayDataSource([rb.ItemAccessor(list(range(9)))]).map_samples(lambda x, rng: (x,))
    assert len(list(reached("", source))) < 100

"""A new loader reads its first sample, to report errors early, and changes no state."""

from __future__ import annotations

import logging
import os
import pickle
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.errors import BatchError, FirstSampleError, ReturnError
from raybatch.loader import first_sample
from raybatch.stores.local_files import LocalFiles
from tests.drivers import wait_for
from tests.sample_sources import faulty
from tests.stores.test_classes import make


def numbers(count: int = 8) -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(count), np.arange(count)])


def without_rng(x: Any, y: Any) -> tuple[Any, Any]:
    return x, y


def without_return(x: Any, y: Any, rng: Any) -> Any:
    return None


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (without_rng, r"sample 0: TypeError: the function without_rng .* takes .*rng="),
        (without_return, r"ReturnError: the function without_return .* returned None"),
    ],
)
def test_a_wrong_function_is_an_error_where_the_loader_is_made(fn: Any, words: str) -> None:
    with pytest.raises(FirstSampleError, match=words):
        rb.Loader(numbers().map_samples(fn), 4)
    rb.Loader(numbers().map_samples(fn), 4, check_sample=False)


def test_a_file_that_is_gone_is_named_once(tmp_path: Path) -> None:
    data = rb.ImageFolder(make(tmp_path, ["a/1.png", "b/1.png"]), size=4)
    (tmp_path / "a" / "1.png").unlink()
    with pytest.raises(BatchError, match="FileNotFoundError") as caught:
        rb.Loader(data, 2)
    text = str(caught.value)
    assert text.count("sample 0, ") == 1
    assert '. With bad_samples="skip", such samples are left out. With check_sample' in text
    assert text.endswith("With check_sample=False, the loader does not try a sample")
    same = pickle.loads(pickle.dumps(caught.value))
    assert (type(same), str(same), same.reason) == (FirstSampleError, text, caught.value.reason)
    with pytest.raises(BatchError) as caught:
        list(rb.Loader(data, 2, check_sample=False))
    assert str(caught.value).count("sample 0, ") == 1


@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_a_bad_sample_that_is_allowed_is_no_error(policy: str) -> None:
    loader = rb.Loader(faulty(0, 8, 0), 4, bad_samples=policy)
    assert len(loader.bad_samples) == 0
    assert sum(len(x) for x, _ in loader) == (7 if policy == "skip" else 8)
    with pytest.raises(FirstSampleError, match="sample 0"):
        rb.Loader(faulty(0, 8, 0), 4)


def test_a_function_of_batches_may_need_more_than_a_row() -> None:
    def of_four(x: Any, y: Any) -> Any:
        return x.reshape(2, -1).repeat(2, axis=0), y

    assert len(list(rb.Loader(numbers().map(of_four), 4))) == 2
    with pytest.raises(FirstSampleError, match="cannot reshape array of size 3"):
        rb.Loader(numbers(9).map(of_four), 3)


def test_what_is_right_or_empty_is_no_error() -> None:
    assert list(rb.Loader(numbers(0), 4)) == []
    weighted = rb.ArrayDataSource([np.arange(3)], sampler=rb.WeightedSampler(np.ones(3), 4))
    assert len(list(rb.Loader(weighted, 2, shuffle=True))) == 2


def test_nothing_is_drawn_or_moved() -> None:
    own = np.random.default_rng(5)

    def drawing(x: Any, y: Any, rng: np.random.Generator) -> Any:
        return x, random.random() + np.random.rand() + own.random()

    source = numbers().map_samples(drawing, seed_globals=False)
    shuffle = np.random.RandomState(3)
    before = random.getstate(), np.random.get_state()[1].tolist(), own.bit_generator.state  # type: ignore[index]
    at = shuffle.get_state()[2]  # type: ignore[index]
    loader = rb.Loader(source, 4, shuffle=shuffle)
    after = random.getstate(), np.random.get_state()[1].tolist(), own.bit_generator.state  # type: ignore[index]
    assert before == after
    assert shuffle.get_state()[2] == at  # type: ignore[index]
    assert (loader.epoch, loader.batches_received, loader.stats().batches) == (0, 0, 0)


class OpensLate:
    """A data set that makes a lock when it is first read, and cannot be pickled afterwards."""

    def __init__(self) -> None:
        self.lock: Any = None

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        if self.lock is None:
            self.lock = threading.Lock()
        return index


def test_actors_get_the_source_as_it_was(actors: rb.RayActorPool) -> None:
    items = OpensLate()
    with rb.Loader(rb.ArrayDataSource(rb.ItemAccessor(items)), 4, pool=actors) as loader:
        assert items.lock is None
        assert [x.tolist() for (x,) in loader] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(FirstSampleError, match="sample 0"):
        rb.Loader(faulty(0, 8, 0), 4, pool=actors)


def test_what_actors_may_have_is_left_to_them(
    actors: rb.RayActorPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(type(actors), "differs_from_here", lambda self: True)
    with caplog.at_level(logging.INFO, "raybatch"):
        rb.Loader(faulty(0, 8, 0), 4, pool=actors)
    assert "this process could not read the first sample" in caplog.text
    with pytest.raises(FirstSampleError) as caught:
        rb.Loader(numbers().map_samples(without_return), 4, pool=actors)
    assert isinstance(caught.value.__cause__, ReturnError)


class StuckHere:
    """A data set that, in the process `pid` alone, waits for the file `gate` before each sample."""

    def __init__(self, pid: int, gate: Path) -> None:
        self.pid, self.gate = pid, gate

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: Any) -> Any:
        if os.getpid() == self.pid:
            wait_for(self.gate.exists, "the gate", 60)
        return np.asarray(index)


def test_a_first_sample_that_takes_too_long_here_is_left_to_the_actors(
    actors: rb.RayActorPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_sample, "_MOST_S", 0.1)
    gate = tmp_path / "gate"
    source = rb.ArrayDataSource([StuckHere(os.getpid(), gate)])
    with rb.Loader(source, 4, pool=actors) as loader:
        assert [x.tolist() for (x,) in loader] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    gate.touch()
    stuck = [one for one in threading.enumerate() if one.name == "raybatch-first-sample"]
    assert stuck
    for thread in stuck:
        thread.join(60)


def test_copies_do_not_try_again() -> None:
    loader = rb.Loader(faulty(0, 8, 0), 4, check_sample=False)
    for copy in (pickle.loads(pickle.dumps(loader)), loader.serial(), *loader.split(2)):
        assert copy.batch_size == 4


def test_an_error_of_the_try_itself_is_raised() -> None:
    """If workers have copies of the source, the try runs in a thread, which must pass on errors."""

    def failing() -> Any:
        raise RuntimeError("no seeding")

    with pytest.raises(RuntimeError, match="no seeding"):
        first_sample._within(60, failing)


def unequal(folder: Path) -> rb.ImageFolder:
    """Return an `ImageFolder` without size=, whose images have 30 × 20, 30 × 21, ... pixels."""
    for number in range(4):
        (folder / "a").mkdir(exist_ok=True)
        Image.new("RGB", (20 + number, 30)).save(folder / "a" / f"{number}.png")
    return rb.ImageFolder(folder)


def as_arrays(image: Any, label: Any, rng: Any) -> Any:
    return np.asarray(image), label


def test_images_without_a_size_are_an_error_where_the_loader_is_made(tmp_path: Path) -> None:
    data = unequal(tmp_path)
    with pytest.raises(FirstSampleError, match=r"ImageFolder without size= .* give it size=224"):
        rb.Loader(data, 2)
    (images, _), *_ = rb.Loader(data, 2, check_sample=False)
    assert [image.size for image in images] == [(20, 30), (21, 30)]
    with pytest.raises(FirstSampleError, match=r"sample 0, .* has shape \(30, 20, 3\), and sample"):
        rb.Loader(data.map_samples(as_arrays), 2)
    stored = rb.ArrayDataSource([rb.ImageFileAccessor(data.data[0].paths)])
    with pytest.raises(FirstSampleError, match="cannot be stacked: give a size, or a transform"):
        rb.Loader(stored, 2)


def test_images_that_make_batches_without_a_size_are_no_error(tmp_path: Path) -> None:
    data = unequal(tmp_path)
    stored = rb.ArrayDataSource([rb.ImageFileAccessor(data.data[0].paths)])
    for source, size in (
        (data.map_samples(as_arrays), 1),
        (data.map_samples(as_arrays, collate={0: "list"}), 2),
        (rb.ArrayDataSource(data.data), 2),
        (stored, 1),
    ):
        assert len(list(rb.Loader(source, size))) == 4 / size


def test_a_second_sample_may_be_bad(tmp_path: Path) -> None:
    source = faulty(1, 8, 1)
    rb.Loader(source, 4)


def test_no_file_is_opened_again_without_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = rb.ImageFolder(make(tmp_path, ["a/1.png", "b/1.png"]), size=4)
    opened: list[str] = []
    own_open = LocalFiles.open

    def counted(files: LocalFiles, path: str) -> Any:
        opened.append(path)
        return own_open(files, path)

    monkeypatch.setattr(LocalFiles, "open", counted)
    rb.Loader(data, 2)
    assert len(opened) == 1

"""Truncated files are an error or are filled up, by a setting of the reader or of Pillow."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from raybatch.errors import ImageReadError
from raybatch.image import augment
from raybatch.image.reader import ImageReader
from raybatch.image.truncation import truncated_as


@pytest.fixture(scope="module", params=["JPEG", "PNG", "TIFF"])
def half(request: pytest.FixtureRequest) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (120, 120, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, request.param)
    return file.getvalue()[: len(file.getvalue()) // 2]


@pytest.fixture
def with_filling() -> Iterator[None]:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    yield
    ImageFile.LOAD_TRUNCATED_IMAGES = False


def pillows(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_an_end_that_is_missing_is_an_error_or_filled(half: bytes) -> None:
    for truncated in (None, "error"):
        with pytest.raises(ImageReadError):
            ImageReader(truncated=truncated).read(io.BytesIO(half))
    filled = np.asarray(ImageReader(truncated="fill").read(io.BytesIO(half)))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert filled[:40].std() > 50
    assert filled[-10:].std() == 0


def test_pillows_setting_is_the_default(half: bytes, with_filling: None) -> None:
    wanted = pillows(half)
    np.testing.assert_array_equal(ImageReader().read(io.BytesIO(half)), wanted)
    np.testing.assert_array_equal(ImageReader(truncated="fill").read(io.BytesIO(half)), wanted)
    with pytest.raises(ImageReadError):
        ImageReader(truncated="error").read(io.BytesIO(half))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_a_part_of_what_is_filled(half: bytes, with_filling: None) -> None:
    crop = augment.CenterCrop(50)
    wanted = pillows(half)[35:85, 35:85]
    for truncated in (None, "fill"):
        reader = ImageReader(truncated=truncated, transform=crop)
        np.testing.assert_array_equal(reader.read(io.BytesIO(half)), wanted)


@pytest.mark.parametrize("refusing", ["error", None])
def test_threads_with_either_setting_do_not_meet(half: bytes, refusing: str | None) -> None:
    readers = [ImageReader(truncated=truncated) for truncated in (refusing, "fill")]

    def is_read(number: int) -> bool:
        try:
            readers[number % 2].read(io.BytesIO(half))
        except ImageReadError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(is_read, range(200))) == [False, True] * 100
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_who_wants_another_setting_waits() -> None:
    seen: list[bool] = []

    def look() -> None:
        with truncated_as("error"):
            seen.append(ImageFile.LOAD_TRUNCATED_IMAGES)

    other = threading.Thread(target=look)
    with truncated_as("fill"):
        other.start()
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True
        assert not seen
    other.join()
    assert seen == [False]


def test_another_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="truncated must be one of"):
        ImageReader(truncated="ignore")


def test_a_fork_waits_for_no_thread_of_its_parent() -> None:
    with truncated_as("fill"):
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)  # ends the fork if it waits
            with truncated_as(None):
                os._exit(int(ImageFile.LOAD_TRUNCATED_IMAGES))
    assert os.waitpid(pid, 0)[1] == 0

"""Warnings during reading name the file, and obey the program's filters on every pool."""

from __future__ import annotations

import sys
import threading
import types
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch import warned
from raybatch.warned import about, filtered_as_by, filters_here
from tests.drivers import wait_for

PILLOWS = "Palette images with Transparency"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The paths of eight images; Pillow warns about number 5."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(8):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    odd = Image.new("P", (8, 8))
    odd.putpalette([level for level in range(256) for _ in "rgb"])
    odd.save(folder / "5.png", transparency=bytes(range(256)))
    return [str(folder / f"{number}.png") for number in range(8)]


@pytest.fixture(params=["none", "threads", "actors"])
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "threads":
        with rb.ThreadPool(2) as threads:
            yield threads
    else:
        yield request.getfixturevalue("actors") if request.param == "actors" else None


def left_of(paths: list[str], pool: Any) -> list[int]:
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, (8, 8)), np.arange(8)])
    with rb.Loader(source, 4, pool=pool, bad_samples="skip") as loader:
        return [int(number) for _, numbers in loader for number in numbers]


def test_a_filter_of_the_program_rules_on_every_pool(paths: list[str], pool: Any) -> None:
    everything = list(range(8))
    for action, wanted in (("error", [0, 1, 2, 3, 4, 6, 7]), ("ignore", everything)) * 2:
        with warnings.catch_warnings():
            warnings.simplefilter(action, UserWarning)  # type: ignore[arg-type]
            assert left_of(paths, pool) == wanted


def test_the_file_is_named(paths: list[str]) -> None:
    images = rb.ImageFileAccessor(paths, (8, 8))
    with pytest.warns(UserWarning, match=rf"^{paths[5]}: {PILLOWS}"):
        images[np.arange(8)]
    with warnings.catch_warnings(record=True) as seen, rb.ThreadPool(2) as threads:
        warnings.simplefilter("always")
        left_of(paths, threads)
    # The loader already prepares the next epoch, which may warn too.
    assert {str(one.message).startswith(f"{paths[5]}: {PILLOWS}") for one in seen} == {True}


def test_the_program_has_its_own_way_to_show_them_back(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Threads of the previous test may still be reading ahead.
    wait_for(lambda: warned._readers == 0, "the end of what is read", 30)
    seen = []

    def show(message: Any, *where: Any, **more: Any) -> None:
        seen.append(str(message))

    monkeypatch.setattr(warnings, "showwarning", show)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        rb.ImageFileAccessor(paths, (8, 8))[5]
        assert warnings.showwarning is show
        with pytest.raises(OSError, match=r"none\.png"):
            rb.ImageFileAccessor(["none.png"], (8, 8))[0]
        assert warnings.showwarning is show
        with about(lambda: "outer"), about(lambda: "inner"):
            warnings.warn("one", stacklevel=1)
            other = threading.Thread(target=lambda: warnings.warn("two", stacklevel=1))
            other.start()
            other.join()
        warnings.warn("three", stacklevel=1)
    assert seen[0].startswith(f"{paths[5]}: ")
    # Threads of an earlier test may be reading this file ahead.
    assert [text for text in seen if paths[5] not in text] == ["inner: one", "two", "three"]


def test_one_that_the_program_set_meanwhile_stays() -> None:
    def show(*arguments: Any, **more: Any) -> None: ...

    with warnings.catch_warnings():
        with about(lambda: "name"):
            warnings.showwarning = show
        assert warnings.showwarning is show


def test_filters_rule_in_the_block_alone() -> None:
    class Here(UserWarning):
        """A category that other processes do not have."""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Here)
        warnings.filterwarnings("error", message="wrong .* here", category=RuntimeWarning)
        filters = filters_here()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        own = list(warnings.filters)
        for _ in range(2):
            with filtered_as_by(filters):
                with pytest.raises(RuntimeWarning):
                    warnings.warn("wrong is here", RuntimeWarning, stacklevel=1)
                assert len(warnings.filters) == len(filters)
            assert list(warnings.filters) == own
        warnings.warn("wrong is here", RuntimeWarning, stacklevel=1)
    assert len(seen) == 1


def test_a_category_of_a_module_that_is_not_imported_here_rules_once_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Late(UserWarning): ...

    Late.__module__, Late.__qualname__ = "imported_late", "Late"
    late = types.ModuleType("imported_late")
    late.Late = Late  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Late)
        filters = filters_here()
    assert late.__name__ not in sys.modules
    with filtered_as_by(filters):
        warnings.warn("of another category", UserWarning, stacklevel=1)
        monkeypatch.setitem(sys.modules, late.__name__, late)
        with pytest.raises(Late):
            warnings.warn("late", Late, stacklevel=1)

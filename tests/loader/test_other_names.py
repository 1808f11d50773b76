"""Sources and arguments of other libraries raise an error that says what to use in raybatch."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import raybatch as rb
from raybatch.loader.other_names import INSTEAD
from raybatch.sources import image_folder

PATHS = "[rb.ImageFileAccessor(paths"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("train", "not 'train': use rb.ImageFolder('train', size=224)"),
        (Path("train"), "use rb.ImageFolder('train', size=224)"),
        (["a.jpg", "b.jpg"], f"not a list of paths: use rb.ArrayDataSource({PATHS}"),
        ((Path("a.jpg"),), f"not a tuple of paths: use rb.ArrayDataSource({PATHS}"),
        (np.array(["a.jpg"]), PATHS),
        (pa.array(["a.jpg"]), PATHS),
        ([], "use rb.ArrayDataSource([array, ...])"),
        ([np.arange(3)], "use rb.ArrayDataSource([array, ...])"),
        ({"x": np.arange(3)}, "use rb.ArrayDataSource({name: array, ...})"),
        (np.arange(3), "not a ndarray: use rb.ArrayDataSource([images, labels])"),
        (rb.ImageFolder, "not the class ImageFolder: use ImageFolder(...)"),
    ],
)
def test_what_is_no_source(source: Any, words: str) -> None:
    with pytest.raises(TypeError, match=re.escape(words)):
        rb.Loader(source, 4)


def test_a_data_set_of_pytorch_is_no_source() -> None:
    data = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed")

    class Numbers(data.Dataset):  # type: ignore[misc, name-defined]
        def __getitem__(self, index: int) -> int:
            return index

    not_a_source: Any = Numbers()
    with pytest.raises(TypeError, match=r"not a Numbers: use rb\.ArrayDataSource\(data_set\)"):
        rb.Loader(not_a_source, 4)


@pytest.mark.parametrize("name", INSTEAD)
def test_arguments_of_other_loaders(name: str) -> None:
    make: Any = rb.Loader
    with pytest.raises(TypeError, match=re.escape(f"{name}= is no argument of Loader: ")) as caught:
        make(rb.ArrayDataSource([np.arange(4)]), 2, **{name: 1})
    assert INSTEAD[name] in str(caught.value)


@pytest.mark.parametrize("name", image_folder._INSTEAD)
def test_arguments_of_other_data_sets(name: str) -> None:
    make: Any = rb.ImageFolder
    with pytest.raises(TypeError, match=re.escape(f"{name}= is no argument of ImageFolder: ")):
        make("train", **{name: 1})


def test_the_advice_names_what_exists() -> None:
    """No parameter has a refused name, and every name in the advice exists."""
    for made, instead in ((rb.Loader, INSTEAD), (rb.ImageFolder, image_folder._INSTEAD)):
        known = inspect.signature(made).parameters
        assert not known.keys() & instead.keys()
        for advice in instead.values():
            for name in re.findall(r"\brb\.(\w+)", advice):
                assert hasattr(rb, name)
            if given := re.match(r"give (\w+)=", advice):
                assert given[1] in known or (made is rb.ImageFolder and given[1] == "layout")


def test_several_arguments_and_unknown_ones() -> None:
    make: Any = rb.Loader
    source = rb.ArrayDataSource([np.arange(4)])
    with pytest.raises(TypeError, match=r"drop_last= .*last_batch.*; num_workers= .*workers=8"):
        make(source, 2, drop_last=True, num_workers=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nosuch'"):
        make(source, 2, nosuch=True)


@pytest.mark.parametrize("made", [rb.ImageFileAccessor, rb.NonUniformImageFileAccessor])
def test_an_unknown_setting_of_images(made: Any) -> None:
    with pytest.raises(
        TypeError, match=r"^transfrom= is not an argument for reading images: did you"
    ):
        made(["a.jpg"], transfrom=1)
    for size in (None, (8, 8), np.array([[8, 8]])):
        with pytest.raises(TypeError, match=r"^nosuch= is not an argument .* are size, mode, "):
            made(["a.jpg"], size, nosuch=1)

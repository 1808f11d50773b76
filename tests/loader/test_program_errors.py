"""Errors in the program's code do not count as bad samples, unless `program_errors=True`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from tests.loader.test_no_bad_samples import POLICIES, SIZE, anew, count, images_in
from tests.sample_sources import Faulty


@pytest.mark.parametrize(
    ("error", "calls"), [(ValueError("no four"), 100), (TypeError("no four"), 5)]
)
def test_a_function_that_fails_at_a_batch_as_a_whole_is_an_error(
    error: Exception, calls: int
) -> None:
    called = []

    def of_few(x: Any) -> Any:
        called.append(len(x))
        if len(x) == 4:
            raise anew(error)
        return (x,)

    source = rb.ArrayDataSource([np.arange(8)]).map(of_few)
    with pytest.raises(rb.errors.BatchError, match="no four"):
        count(source, "skip")
    assert len(called) <= 1 + calls  # 1 for the sample that the new loader tries


def undefined(x: Any, y: Any) -> Any:
    return x, undefined_name if 5 in y else y  # type: ignore[name-defined]  # noqa: F821


def asserting(x: Any, y: Any) -> Any:
    assert 5 not in y
    return x, y


def of_one_argument(x: Any, y: Any) -> Any:
    return (x, y) if 5 not in y else len(x, y)  # type: ignore[call-arg]


def of_an_attribute(x: Any, y: Any) -> Any:
    return (x, y) if 5 not in y else x.lenght


def of_a_key(x: Any, y: Any) -> Any:
    return x, np.array([{n: n for n in range(12) if n != 5}[int(label)] for label in y])


@pytest.mark.parametrize(
    "wrong", [undefined, asserting, of_one_argument, of_an_attribute, of_a_key]
)
@pytest.mark.parametrize("policy", POLICIES)
def test_an_error_of_the_program_is_no_bad_sample_unless_that_is_asked_for(
    wrong: Callable[..., Any], policy: str
) -> None:
    source = rb.ArrayDataSource([np.arange(12), np.arange(12)]).map(wrong)
    with pytest.raises(rb.errors.BatchError, match=r"sample 5: .*program_errors=True") as caught:
        count(source, policy)
    kind = type(caught.value.__cause__)
    assert kind in (NameError, AssertionError, TypeError, AttributeError, KeyError)
    left = 11 if policy == "skip" else 12
    assert count(source, rb.BadSamples(policy, program_errors=True)) == (left, 1)


def of_another_field(batch: dict[str, Any]) -> dict[str, Any]:
    return {"image": batch["images"]}


def of_another_field_of_a_sample(sample: dict[str, Any], rng: Any) -> dict[str, Any]:
    return {"image": sample["images"]}


def test_the_function_and_what_it_got_are_named() -> None:
    source = rb.ArrayDataSource({"image": np.zeros((5, 2)), "label": np.arange(5)})
    for mapped, shape in (
        (source.map(of_another_field), r"\[4, 2\]"),
        (source.map_samples(of_another_field_of_a_sample), r"\[2\]"),
    ):
        wanted = (
            rf"KeyError: 'images', in the function {mapped.fn.__name__} \(.*_errors\.py, line \d+\),"
            rf" called with {{'image': ndarray float64{shape}, 'label': "
        )
        with pytest.raises(rb.errors.FirstSampleError, match=wanted):
            rb.Loader(mapped, 4)
        with pytest.raises(rb.errors.BatchError, match=wanted):
            next(iter(rb.Loader(mapped, 4, check_sample=False, pool=rb.ThreadPool(1))))
        with pytest.raises(KeyError) as caught:
            next(mapped.batch_iterator(4))
        assert any(mapped.fn.__name__ in note for note in caught.value.__notes__)


def forgets(image: Image.Image, rng: Any) -> None:
    image.rotate(3)


def test_a_transform_that_returns_nothing_is_named(folder: Path) -> None:
    images = rb.ImageFileAccessor(sorted(folder.iterdir()), SIZE, transform=forgets)
    wanted = (
        r"the function forgets \(.*\) returned None \(a missing `return`\?\), but must return an"
    )
    with pytest.raises(rb.errors.FirstSampleError, match=wanted) as caught:
        rb.Loader(rb.ArrayDataSource([images]), 4)
    assert " at 0x" not in str(caught.value)


def no_red(image: Image.Image, rng: Any) -> Image.Image:
    if image.getpixel((0, 0)) == (5, 0, 0):
        raise KeyError("red")
    return image


def test_nor_is_one_of_a_transform(folder: Path) -> None:
    images = rb.ImageFileAccessor(sorted(folder.iterdir()), SIZE, transform=no_red)
    source = rb.ArrayDataSource([images])
    with pytest.raises(
        rb.errors.BatchError, match=r"05\.png.*function no_red .* raised KeyError.*program_e"
    ):
        count(source, "skip")
    assert count(source, rb.BadSamples("skip", program_errors=True)) == (11, 1)


def test_what_a_decoder_raises_at_a_broken_file_is_the_samples(folder: Path) -> None:
    whole = (folder / "05.png").read_bytes()
    (folder / "05.png").write_bytes(whole[:36] + b"\0" + whole[37:])
    with pytest.raises(rb.errors.BatchError, match="SyntaxError"):
        count(images_in(folder), "raise")
    assert count(images_in(folder), "skip") == (11, 1)


def test_a_bad_sample_before_an_error_of_the_program_hides_it_not() -> None:
    def wrong(x: Any) -> Any:
        if 6 in x:
            raise TypeError("six")
        return (x,)

    source = rb.ArrayDataSource([Faulty(0, 12, (5,))]).map(wrong)
    with pytest.raises(
        rb.errors.BatchError, match=r"sample 6: TypeError: six, in .*\. The sample does not count"
    ):
        count(source, "skip")

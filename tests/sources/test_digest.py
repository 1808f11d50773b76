"""Digests of streams: equal streams have equal digests, and unequal streams do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from raybatch.batchup.data_source import ChoiceBatch, StreamDigest, stream_digest

X = np.arange(12).reshape(3, 4)
Y = np.array([5, 6, 7], dtype=np.int32)
PINNED = "73e237509e6bcd7d48645d1e743f7470430c629c15bd05ad17f18a93a4c39b5b"


def image(value: int = 0, mode: str = "RGB", size: tuple[int, int] = (4, 2)) -> Image.Image:
    return Image.new(mode, size, value)


def test_copies_views_and_generators_have_one_digest() -> None:
    batches = [(X, Y), (X[:1], Y[:1])]
    digest = stream_digest(batches)
    assert len(digest) == 64
    assert int(digest, 16) >= 0
    assert digest == stream_digest((x.copy(), y.copy()) for x, y in batches)
    # The memory layout does not matter.
    assert digest == stream_digest([(np.asfortranarray(X), Y), (X[:1], Y[::-1][::-1][:1])])
    incremental = StreamDigest()
    for batch in batches:
        incremental.update(batch)
    assert incremental.hexdigest() == digest


def test_the_digest_never_changes() -> None:
    """Users record digests, and compare them later on other machines."""
    assert stream_digest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    little = [(X.astype("<i8"), Y.astype("<i4"))]
    assert stream_digest(little) == PINNED


STREAMS: dict[str, list[Any]] = {
    "batches": [(X, Y), (X, Y[::-1])],
    "the other order": [(X, Y[::-1]), (X, Y)],
    "one batch": [(X, Y)],
    "arrays swapped": [(Y, X), (Y[::-1], X)],
    "a value": [(X, Y), (X, Y[::-1] + 1)],
    "a shape": [(X.reshape(4, 3), Y), (X, Y[::-1])],
    "an axis more": [(X[None], Y), (X, Y[::-1])],
    "a dtype": [(X, Y), (X, Y[::-1].astype(np.uint32))],
    "a byte order": [(X, Y), (X, Y[::-1].astype(">i4"))],
    "signed zero": [(X * -0.0,)],
    "zero": [(X * 0.0,)],
    "nested": [((X,), Y), (X, Y[::-1])],
    "nested elsewhere": [(X, (Y,)), (X, Y[::-1])],
    "a list": [[X, Y], (X, Y[::-1])],
    "a choice": [ChoiceBatch(X, 1)],
    "a tuple like it": [(X, 1)],
    "one tuple": [(X, Y, X, Y[::-1])],
    "empty": [(X[:0],)],
    "empty of another shape": [(X[:0, :2],)],
    "no array": [()],
    "joined": [(np.concatenate([Y, Y]),)],
    "apart": [(Y, Y)],
    "images": [([image(), image(1)],)],
    "images in the other order": [([image(1), image()],)],
    "an image less": [([image()],)],
    "another mode": [([image(mode="YCbCr")],)],
    "another size": [([image(size=(2, 4))],)],
    "the array of an image": [([np.asarray(image())],)],
    "strings": [(np.array(["dog", "cat"]),)],
    "other strings": [(np.array(["dog", "cow"]),)],
}


def test_order_shape_dtype_bytes_and_structure_count() -> None:
    digests = {name: stream_digest(stream) for name, stream in STREAMS.items()}
    assert len(set(digests.values())) == len(STREAMS)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5),
        np.array([1 + 2j]),
        np.array([True, False]),
        np.array([1.5], dtype=np.float16),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.array([5], dtype="timedelta64[s]"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_arrays_of_every_plain_dtype_have_a_digest(array: Any) -> None:
    assert stream_digest([(array,)]) == stream_digest([(array.copy(),)])
    assert stream_digest([(array,)]) != stream_digest([(np.concatenate([array, array], None),)])


def test_the_names_of_fields_are_part_of_the_dtype() -> None:
    records = np.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")])
    assert stream_digest([(records,)]) != stream_digest([(records.view("u1,u1,u1,u1,i4"),)])


def test_the_palette_of_an_image_counts() -> None:
    red, blue = image(mode="P"), image(mode="P")
    red.putpalette([255, 0, 0])
    blue.putpalette([0, 0, 255])
    assert stream_digest([([red],)]) != stream_digest([([blue],)])


@pytest.mark.parametrize("batch", [np.array([X, None], object), object(), [object()]])
def test_python_objects_cannot_be_digested(batch: Any) -> None:
    with pytest.raises(TypeError, match="Python objects"):
        stream_digest([(X, batch)])


def test_tensors_that_numpy_lacks_have_a_digest() -> None:
    torch: Any = pytest.importorskip("torch")
    half = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.bfloat16)
    others = (half.T, half.view(torch.uint8), half.view(torch.int16), half.float())
    assert len({stream_digest([batch]) for batch in (half, *others)}) == 5
    assert stream_digest([half]) == stream_digest([half.clone()])

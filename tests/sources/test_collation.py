"""How samples become batches: by the rules of PyTorch's `default_collate`, or by `collate=`."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, UserDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.collation import collated
from raybatch.errors import BatchError, ReturnError
from raybatch.memory import ReusedMemory, batches_in
from raybatch.structure import leaves


class Pair(NamedTuple):
    """A sample with named fields."""

    image: Any
    label: Any


@dataclasses.dataclass
class Target:
    """The boxes and the label of an image."""

    boxes: Any
    label: Any = 0


def boxes(count: int) -> Any:
    return np.full((count, 4), count, np.float32)


class Items:
    """A map-style data set of `fn(0)`, `fn(1)`, ..."""

    def __init__(self, fn: Callable[[int], Any], length: int = 6) -> None:
        self.fn = fn
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.fn(index)


ALIKE: dict[str, Callable[[Any, int], Any]] = {
    "tensors": lambda torch, i: torch.full((2, 3), i),
    "scalars": lambda torch, i: torch.tensor(i),
    "gradients": lambda torch, i: torch.full((2,), float(i), requires_grad=True),
    "bfloat16 gradients": lambda torch, i: torch.full(
        (2,), float(i), requires_grad=True, dtype=torch.bfloat16
    ),
    "conjugates": lambda torch, i: torch.full((2,), complex(0, i)).conj(),
    "arrays": lambda torch, i: np.full((2, 3), i, np.int16),
    "numpy numbers": lambda torch, i: np.float32(i),
    "ints": lambda torch, i: i,
    "floats": lambda torch, i: float(i),
    "bools": lambda torch, i: i > 1,
    "texts": lambda torch, i: str(i),
    "numpy texts": lambda torch, i: np.str_(i),
    "bytes": lambda torch, i: str(i).encode(),
    "dicts": lambda torch, i: {"image": torch.zeros(3, 2), "label": i, "name": str(i)},
    "ordered dicts": lambda torch, i: OrderedDict(b=i, a=i + 1),
    "user dicts": lambda torch, i: UserDict(b=i, a=i + 1),
    "named tuples": lambda torch, i: Pair(torch.zeros(3), i),
    "tuples": lambda torch, i: (np.zeros(3), i, str(i)),
    "lists": lambda torch, i: [torch.zeros(3), i],
    "nested": lambda torch, i: {"a": [(i, {"b": Pair(torch.zeros(2), [i, float(i)])})], "c": ()},
    **{
        dtype: partial(
            lambda dtype, torch, i: torch.tensor([i, 1]).to(getattr(torch, dtype)), dtype
        )
        for dtype in (
            *("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"),
            *("complex64", "complex128", "bfloat16", "float8_e4m3fn", "float8_e5m2", "uint16"),
        )
    },
}


@pytest.mark.parametrize("kind", ALIKE)
def test_items_are_collated_as_by_pytorch(kind: str) -> None:
    torch: Any = pytest.importorskip("torch")
    data: Any = Items(lambda i: ALIKE[kind](torch, i))
    expected = torch.utils.data.default_collate([data[i] for i in range(6)])
    made = rb.ItemAccessor(data)[np.arange(6)]
    check(torch, made, expected)


def check(torch: Any, made: Any, expected: Any) -> None:
    """Fail unless `made` equals `expected`, which PyTorch made.

    In `made`, arrays replace tensors, and tuples replace lists, except lists of texts.
    """
    if isinstance(expected, torch.Tensor):
        # A tensor stays a tensor if NumPy lacks its dtype.
        assert type(made) is np.ndarray or made.dtype not in (torch.uint8, torch.float32)
        made = torch.as_tensor(made)
        assert not made.requires_grad
        assert (made.dtype, made.shape) == (expected.dtype, expected.shape)
        assert torch.equal(
            made.view(torch.uint8), expected.resolve_conj().detach().view(torch.uint8)
        )
    elif isinstance(expected, (dict, UserDict)):
        assert (type(made), list(made)) == (type(expected), list(expected))
        for key in expected:
            check(torch, made[key], expected[key])
    elif expected and isinstance(expected[0], (str, bytes)):
        assert (type(made), made) == (list, list(expected))
    else:
        assert type(made) is (Pair if isinstance(expected, Pair) else tuple)
        assert len(made) == len(expected)
        for one, other in zip(made, expected, strict=True):
            check(torch, one, other)


def test_other_objects_are_left_in_lists() -> None:
    pictures = [Image.new("L", (3, 2)), Image.new("L", (4, 2))]
    batch = collated([(picture, None, {1, 2}) for picture in pictures])
    assert batch == (pictures, [None, None], [{1, 2}, {1, 2}])


def test_stacked_arrays_lie_in_the_memory_of_batches() -> None:
    class Memory(ReusedMemory):
        """Memory that records the arrays that it returns."""

        def empty(self, shape: Any, dtype: Any) -> Any:
            given.append(made := super().empty(shape, dtype))
            return made

    given: list[Any] = []
    with batches_in(Memory()):
        batch = collated([np.full(2**18, i) for i in range(2)])
        objects = collated([np.full(2**18, None)] * 2)
    assert [made is batch for made in given] == [True]
    assert (batch == [[0], [1]]).all()
    assert objects.shape == (2, 2**18)


def test_dataclasses_stay_what_they_are() -> None:
    batch = collated([Target(boxes(2), i) for i in range(3)])
    assert type(batch) is Target
    assert (batch.boxes.shape, batch.label.tolist()) == ((3, 2, 4), [0, 1, 2])


def unequal(i: int) -> Any:
    return {"image": np.zeros((2, 2)), "target": Target(boxes(i), [i] * i), "name": str(i)}


# A setting for boxes, and a function of the field whose result must be the same for all batches.
WAYS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "list": ("list", type),
    "padded": (
        rb.Pad(),
        lambda field: (type(field), field.values.dtype, field.values.ndim, field.lengths.shape),
    ),
    "bare": (rb.Pad(lengths=False), lambda field: (type(field), field.dtype, field.ndim)),
    "ragged": (rb.Ragged(), lambda field: (type(field), field.dtype, field.inner_shape)),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_out_depends_on_the_setting_alone(way: str) -> None:
    setting, kind_of = WAYS[way]
    settings = {"target": {"boxes": setting, "label": "list"}}
    kinds = set()
    for counts in ([1, 2, 3], [2, 2, 2], [0, 0, 0]):
        batch = collated(map(unequal, counts), settings)
        assert (type(batch["image"]), type(batch["target"]), type(batch["name"])) == (
            np.ndarray,
            Target,
            list,
        )
        assert batch["target"].label == [[count] * count for count in counts]
        kinds.add(kind_of(batch["target"].boxes))
    assert len(kinds) == 1


def test_padded_fields_have_their_lengths() -> None:
    samples = [boxes(1), boxes(0), boxes(3)]
    padded: Any = collated(samples, rb.Pad(-1))
    assert type(padded) is rb.Padded
    assert (padded.lengths.tolist(), str(padded.lengths.dtype)) == ([1, 0, 3], "int64")
    assert (padded.values.shape, str(padded.values.dtype)) == ((3, 3, 4), "float32")
    assert padded.values[:, :, 0].tolist() == [[1, -1, -1], [-1, -1, -1], [3, 3, 3]]
    assert collated(samples, rb.Pad(multiple_of=4, lengths=False)).shape == (3, 4, 4)
    assert collated([[1, 2], [], [3]], rb.Pad(7, lengths=False)).tolist() == [
        [1, 2],
        [7, 7],
        [3, 7],
    ]


def test_a_dtype_is_that_of_empty_lists_too() -> None:
    several: list[Any] = [[[1], [2, 3]], [[], []]]
    for samples in several:
        assert collated(samples, rb.Pad(dtype=np.int32)).values.dtype == np.int32


def test_images_are_padded_in_two_axes() -> None:
    images = [np.ones((2, 5, 3), np.uint8), np.ones((4, 1, 3), np.uint8)]
    padded = collated(images, rb.Pad(255, axes=2, multiple_of=4))
    assert (padded.values.shape, padded.lengths.tolist()) == ((2, 4, 8, 3), [[2, 5], [4, 1]])
    for row, (height, width) in zip(padded.values, padded.lengths, strict=True):
        assert (row[:height, :width] == 1).all()
        assert (row == 1).sum() == height * width * 3
    with pytest.raises(ReturnError, match=r"\(4, 1, 3\), but must have \(length, 5, 3\)"):
        collated(images, rb.Pad())


def test_lists_of_numbers_are_ragged_too() -> None:
    batch = collated(({"tokens": [1] * i} for i in range(3)), {"tokens": rb.Ragged(np.int32)})
    assert (batch["tokens"].lengths.tolist(), batch["tokens"].dtype) == ([0, 1, 2], np.int32)
    empty = collated([[], []], rb.Ragged(np.float32, (4,)))
    assert empty.values.shape == (0, 4)


def test_a_setting_of_a_container_holds_for_all_in_it() -> None:
    batch = collated(
        [(boxes(i), [boxes(i)], Target(boxes(i), boxes(i))) for i in range(1, 3)],
        {2: rb.Ragged(), 0: "list", 1: {0: rb.Ragged()}},
    )
    assert [type(leaf) for leaf in leaves(batch)] == [list, *[rb.RaggedArray] * 3]
    assert (type(batch[1]), type(batch[2])) == (tuple, Target)


def test_a_list_has_arrays_for_tensors() -> None:
    torch: Any = pytest.importorskip("torch")
    (batch,) = collated([([{"box": torch.zeros(i, 4)}],) for i in range(2)], {0: "list"})
    assert [[type(box["box"]) for box in sample] for sample in batch] == [[np.ndarray]] * 2


def test_no_samples_make_what_was_asked_for() -> None:
    assert collated([], "list") == collated([]) == []
    assert collated([], rb.Pad()).values.shape == (0, 0)
    assert type(collated([], rb.Ragged())) is rb.RaggedArray


BAD: dict[str, tuple[Callable[[int], Any], Any, str]] = {
    "shapes": (
        lambda i: {"target": (i, boxes(i // 2))},
        "stack",
        r"field 1 of 'target' .*sample 0 of the batch has shape \(0, 4\), and sample 2 of the batch"
        r" \(1, 4\)"
        r".*collate=\{'target': \{1: 'list'\}\}.*\{1: rb.Pad\(\)\}.*\{1: rb.Ragged\(\)\}",
    ),
    "lists": (
        lambda i: ([0] * i,),
        "stack",
        "field 0 .*sample 1 of the batch is list of 1, and sample 0 of the batch list of 0.*rb.Pad",
    ),
    "arrays and None": (
        lambda i: {"mask": None if i == 2 else boxes(1)},
        "stack",
        (
            r"field 'mask' .*sample 2 of the batch is None, and sample 0 of the batch ndarray"
            r" float32\[1, 4\]. .*collate=\{'mask': 'list'\}"
        ),
    ),
    "numbers and texts": (lambda i: (i if i else "",), "stack", "sample 1 of the batch is 1"),
    "texts and dicts": (lambda i: ({} if i else "",), "stack", "sample 1 of the batch is {}"),
    "dicts and None": (
        lambda i: None if i == 3 else {"a": 1},
        "stack",
        "the samples .*sample 3 of the batch is None",
    ),
    "keys": (
        lambda i: {"a": 1, **({"b": 2} if i else {})},
        "stack",
        "sample 1 of the batch is {'a': 1, 'b': 2}, and",
    ),
    "types": (
        lambda i: OrderedDict(x=1) if i else {"x": 1},
        "stack",
        "sample 1 of the batch is OrderedDict",
    ),
    "unknown name": (
        lambda i: {"box": i},
        {"boxes": "list"},
        "names 'boxes', which is not a field of {'box': 0}; its fields: 'box'",
    ),
    "no fields": (
        lambda i: {"box": i},
        {"box": {"x": "list"}},
        "field 'box' .*names 'x', .*its fields: none",
    ),
    "padded text": (
        lambda i: ("a",),
        {0: rb.Pad()},
        "sample 0 of the batch, a str, is not an array of numbers",
    ),
    "padded number": (
        lambda i: (i,),
        {0: rb.Ragged()},
        "sample 0 of the batch is .*, a number, but must be an array or a list",
    ),
    "value": (
        lambda i: ([1],),
        {0: rb.Pad(0.5)},
        r"its arrays are int64, which cannot hold the value 0.5 of Pad",
    ),
    "large value": (
        lambda i: (boxes(i).astype(np.uint8),),
        {0: rb.Pad(-1)},
        "uint8, which cannot hold the value -1",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_go_together_is_named(name: str) -> None:
    sample, setting, message = BAD[name]
    with pytest.raises(ReturnError, match=message):
        collated(map(sample, range(4)), setting)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ("stak", ValueError, r"or rb\.Ragged\(\), not 'stak'"),
        ({"a": {"b": "pad"}}, ValueError, "not 'pad'"),
        (rb.Pad, TypeError, "not <class"),
        (
            {"a": None},
            TypeError,
            r"rb.Pad\(...\), rb.Ragged\(\) or a dict of these by field, not None",
        ),
    ],
)
def test_a_wrong_setting_is_refused_where_it_is_given(
    setting: Any, error: Any, message: str
) -> None:
    source = rb.ArrayDataSource({"a": np.arange(3)})
    for give in (
        lambda: rb.ItemAccessor([1], setting),
        lambda: rb.ArrayDataSource({"a": np.arange(3)}, collate=setting),
        lambda: source.map_samples(lambda sample, rng: sample, setting),
    ):
        with pytest.raises(error, match=message):
            give()


@pytest.mark.parametrize(
    ("options", "error"),
    [({"value": "0"}, TypeError), ({"multiple_of": 0}, ValueError), ({"axes": 0}, ValueError)],
)
def test_wrong_padding_is_refused(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        rb.Pad(**options)


def objects(values: list[Any]) -> Any:
    array = np.empty(len(values), object)
    for row, value in enumerate(values):
        array[row] = value
    return array


def test_fields_of_a_source_are_collated(photos: list[str]) -> None:
    source = rb.ArrayDataSource(
        {
            "image": rb.NonUniformImageFileAccessor(photos[:6]),
            "points": objects([np.zeros((2, 2), np.int32)] * 6),
            "boxes": objects([boxes(i) for i in range(6)]),
            "name": objects([str(i) for i in range(6)]),
            "ragged": rb.RaggedArray([boxes(i) for i in range(6)]),
            "label": np.arange(6),
        },
        collate={"boxes": rb.Pad(), "ragged": "list", "label": "stack"},
    )
    batch = next(source.batch_iterator(4))
    assert (type(batch["image"]), type(batch["ragged"]), batch["name"]) == (
        list,
        list,
        ["0", "1", "2", "3"],
    )
    assert (batch["points"].shape, batch["points"].dtype) == ((4, 2, 2), np.int32)
    assert batch["boxes"].lengths.tolist() == [len(row) for row in batch["ragged"]] == [0, 1, 2, 3]
    whole = rb.ArrayDataSource([rb.NonUniformImageFileAccessor(photos[:6])], collate=rb.Pad(axes=2))
    ((images, sizes),) = next(whole.batch_iterator(6))
    assert images.shape == (6, *sizes.max(axis=0), 3)
    height, width = sizes[1]
    assert images[1, :height, :width].tolist() == np.asarray(batch["image"][1]).tolist()


def test_an_array_is_not_stacked_anew() -> None:
    class Whole:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: Any) -> Any:
            return rows

    rows = np.arange(3)
    (batch,) = next(rb.ArrayDataSource([Whole()], collate="stack").batch_iterator(3))
    assert batch is rows


def test_settings_of_a_source_name_its_fields() -> None:
    with pytest.raises(
        ValueError,
        match="collate has a setting for 2, which is not a field of data; the fields are 0, 1",
    ):
        rb.ArrayDataSource([np.arange(3), np.arange(3)], collate={2: "list"})
    with pytest.raises(
        ValueError, match=r"data\['x'\] is an ItemAccessor, which has its own `collate` argument"
    ):
        rb.ArrayDataSource({"x": rb.ItemAccessor([1])}, collate={"x": "list"})
    batch = next(rb.ArrayDataSource([np.arange(3), np.arange(3)], collate="list").batch_iterator(2))
    assert batch == ([0, 1], [0, 1])


def test_unequal_samples_are_named_by_index_and_path(photos: list[str]) -> None:
    source = rb.ArrayDataSource(
        {"image": rb.NonUniformImageFileAccessor(photos[:4])}, indices=[3, 2], collate=rb.Pad()
    )
    mapped = rb.ArrayDataSource(source.data, indices=[3, 2]).map_samples(
        lambda sample, rng: {"image": np.asarray(sample["image"])}
    )
    pictures: Any = rb.NonUniformImageFileAccessor(photos)[np.array([3, 2])]
    sizes = [(picture.height, picture.width) for picture in pictures]
    assert sizes[0][1] != sizes[1][1]
    stacked = rb.ArrayDataSource([rb.ImageFileAccessor(photos[:4])])
    with pytest.raises(ReturnError, match=r"For boxes in pixels.* rb\.NonUniformImageFileAccessor"):
        next(stacked.batch_iterator(4))
    for given in (source, mapped):
        with pytest.raises(ReturnError) as caught:
            next(given.batch_iterator(2))
        for index, size in zip((3, 2), sizes, strict=True):
            assert f"sample {index}, {photos[index]!r}" in str(caught.value)
            assert str((*size, 3)) in str(caught.value)


def test_a_sample_of_a_composite_is_named_by_its_member() -> None:
    child = rb.ArrayDataSource([np.arange(3)])
    source = rb.CompositeDataSource([child, child]).map_samples(lambda x, y, rng: (boxes(int(x)),))
    with pytest.raises(ReturnError, match=r"sample 0 of member \(0,\) has shape"):
        next(source.batch_iterator(2))


@pytest.mark.parametrize(
    "setting",
    [
        rb.BadSamples("raise"),
        rb.BadSamples("skip"),
        rb.BadSamples("skip", program_errors=True),
        rb.BadSamples("replace", program_errors=True),
    ],
    ids=str,
)
def test_unequal_samples_are_no_bad_samples(setting: Any) -> None:
    source = rb.ArrayDataSource(rb.ItemAccessor(Items(lambda i: (boxes(i),))))
    loader = rb.Loader(source, 3, bad_samples=setting, check_sample=False)
    message = r"field 0 .*sample 0 has shape \(0, 4\), and sample 1 \(1, 4\).*RaggedArray$"
    with pytest.raises(BatchError, match=message):
        next(iter(loader))
    assert len(loader.bad_samples) == 0


def test_map_samples_collates_what_comes_back() -> None:
    numbers = rb.ArrayDataSource({"n": np.arange(6)})
    for collate, kinds in (
        ({"boxes": "list"}, [list, np.ndarray]),
        ("list", [list, list]),
        ({"boxes": rb.Ragged()}, [rb.RaggedArray, np.ndarray]),
    ):
        source = numbers.map_samples(
            lambda sample, rng: {"boxes": boxes(int(sample["n"])), **sample}, collate=collate
        )
        batch = next(source.batch_iterator(4))
        assert [type(field) for field in batch.values()] == kinds
        assert [len(row) for row in batch["boxes"]] == [0, 1, 2, 3]


def test_columns_of_hugging_face() -> None:
    datasets: Any = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(
        {"box": [[1.0, 2.0]] * 4, "tokens": [[1], [1, 2], [], [3]], "name": list("abcd")}
    )
    source = rb.ArrayDataSource(
        [table["box"], table["tokens"], table["name"]], collate={1: rb.Ragged()}
    )
    box, tokens, names = next(source.batch_iterator(4))
    assert (box.tolist(), tokens.lengths.tolist(), names) == (
        [[1.0, 2.0]] * 4,
        [1, 2, 0, 1],
        list("abcd"),
    )
    with pytest.raises(
        ReturnError, match=r"field 0 .*sample 0 has shape \(1,\), and sample 1 \(2,\)"
    ):
        next(rb.ArrayDataSource([table["tokens"]]).batch_iterator(4))


def test_a_whole_data_set_of_hugging_face_gives_its_items() -> None:
    datasets: Any = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"label": [3, 4, 5], "tokens": [[1], [1, 2], []]})
    batch = next(rb.ArrayDataSource(table, collate={"tokens": rb.Pad()}).batch_iterator(2))
    assert batch["label"].tolist() == [3, 4]
    assert batch["tokens"].values.tolist() == [[1, 0], [1, 2]]
    batch = next(rb.ArrayDataSource(rb.ItemAccessor(table, {"tokens": "list"})).batch_iterator(2))
    assert batch["tokens"] == [[1], [1, 2]]


def test_a_data_set_that_reads_several_at_once_is_asked_to() -> None:
    asked = []

    class Several(Items):
        def __getitems__(self, indices: list[int]) -> list[Any]:
            asked.append(indices)
            return [self.fn(index) for index in indices if index < 5]

    items = rb.ItemAccessor(Several(lambda i: i))
    assert items[np.array([4, 1])].tolist() == [4, 1]
    assert asked == [[4, 1]]
    with pytest.raises(ReturnError, match=r"__getitems__ of .* returned 1 samples for 2 indices"):
        items[np.array([0, 5])]


def test_actors_give_the_serial_stream(actors: rb.RayActorPool) -> None:
    torch: Any = pytest.importorskip("torch")
    data = Items(
        lambda i: {"half": torch.full((2,), i / 3, dtype=torch.bfloat16), **unequal(i)}, 12
    )
    collate: Any = {"target": {"boxes": rb.Ragged(), "label": rb.Pad()}}
    source = rb.ArrayDataSource(rb.ItemAccessor(data, collate=collate))
    serial = list(rb.Loader(source, 5, shuffle=2))
    with rb.Loader(source, 5, shuffle=2, pool=actors) as loader:
        made = list(loader)
    assert rb.stream_digest(made) == rb.stream_digest(serial)
    assert made[0]["half"].dtype is torch.bfloat16
    assert torch.equal(made[0]["half"], serial[0]["half"])
    from raybatch.adapters.torch import to_torch

    first, *_ = to_torch(rb.Loader(source, 5, shuffle=2))
    assert first["half"].dtype is torch.bfloat16


def test_a_padded_field_of_empty_lists_has_the_inner_shape_that_was_said() -> None:
    batch = collated([{"boxes": []}, {"boxes": []}], {"boxes": rb.Pad(inner_shape=(4,))})
    assert batch["boxes"].values.shape == (2, 0, 4)
    batch = collated(
        [{"boxes": []}, {"boxes": [[1, 2, 3, 4]]}], {"boxes": rb.Pad(inner_shape=(4,))}
    )
    assert batch["boxes"].values.shape == (2, 1, 4)


def test_texts_of_unequal_number_can_only_be_lists() -> None:
    with pytest.raises(ReturnError) as caught:
        collated([{"t": ["a", "b"]}, {"t": ["c"]}])
    assert "collate={'t': 'list'} leaves them in a list" in str(caught.value)
    assert "Pad" not in str(caught.value)


def test_tensors_that_torch_cannot_unpickle_travel(actors: rb.RayActorPool) -> None:
    torch: Any = pytest.importorskip("torch")
    kinds = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn]
    source = rb.ArrayDataSource([np.arange(4)]).map(
        lambda x: {str(kind): torch.from_numpy(x).to(kind)[:, None] for kind in kinds}
    )
    (wanted,) = rb.Loader(source, 4)
    with rb.Loader(source, 4, pool=actors) as loader:
        (batch,) = loader
    for kind in kinds:
        made = batch[str(kind)]
        assert (made.dtype, made.shape) == (kind, (4, 1))
        assert torch.equal(made.float(), wanted[str(kind)].float())


def test_large_integers_of_samples_stay_integers() -> None:
    def ids(*values: int) -> Any:
        return rb.ItemAccessor([{"id": value} for value in values])[np.arange(len(values))]["id"]

    assert (ids(2**63 + 1, 5).dtype, ids(2**63 + 1, 5).tolist()) == (np.uint64, [2**63 + 1, 5])
    with pytest.raises(TypeError, match=r"field 'id' .* below 0 and numbers above"):
        ids(2**63 + 1, -5)

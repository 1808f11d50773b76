"""Batches of nested dicts, NamedTuples and dataclasses keep their structure everywhere."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, UserDict
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

import raybatch as rb
from raybatch.structure import described, leaves, map_leaves, members

N = 10
IMAGES = np.arange(N * 12, dtype=np.uint8).reshape(N, 2, 2, 3)
LABELS = np.arange(N)


class Pair(NamedTuple):
    """A sample with named fields."""

    image: Any
    label: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """A frozen sample with slots, and with a field that its constructor does not take."""

    image: Any
    target: Any
    kind: Any = dataclasses.field(init=False, default="photo")


def named(**options: Any) -> rb.ArrayDataSource:
    return rb.ArrayDataSource({"image": IMAGES, "label": LABELS}, **options)


def nested() -> Any:
    return named().map(
        lambda batch: Sample(batch["image"], {"label": Pair(1, batch["label"]), "scale": 0.5})
    )


def same(one: Any, other: Any) -> None:
    """Fail if two batches differ in type, structure or values."""
    assert type(one) is type(other)
    assert described(one) == described(other)
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_dict_of_arrays_gives_dicts() -> None:
    batch = next(named().batch_iterator(4))
    same(batch, {"image": IMAGES[:4], "label": LABELS[:4]})


@pytest.mark.parametrize(
    ("container", "kind"),
    [
        (Pair(1, {"a": 2}), Pair),
        (Sample(1, (2, 3)), Sample),
        (OrderedDict(b=1, a=2), OrderedDict),
        (UserDict(b=1, a=2), UserDict),
        (MappingProxyType({"a": 1}), dict),
        ({}, dict),
        ((), tuple),
    ],
)
def test_a_container_keeps_its_type_and_is_not_changed(container: Any, kind: type) -> None:
    before = described(container)
    made = map_leaves(lambda leaf: [leaf], container)
    assert type(made) is kind
    assert list(members(made)) == list(members(container))
    assert list(leaves(made)) == [[leaf] for leaf in leaves(container)]
    assert described(container) == before


def test_a_function_gets_a_tuple_as_arguments_and_anything_else_as_it_is() -> None:
    as_dict = named().map(lambda batch: {**batch, "sum": batch["label"] + 1})
    as_pair = as_dict.map(lambda batch: Pair(batch["image"], batch["sum"]))
    back = as_pair.map(lambda image, label: {"label": label})
    same(next(back.batch_iterator(3)), {"label": np.arange(1, 4)})


def test_a_function_of_samples_gets_and_gives_any_structure() -> None:
    source = nested().map_samples(lambda sample, rng: {"x": sample, "u": rng.random()})
    batch = next(source.batch_iterator(4))
    assert list(batch) == ["x", "u"]
    assert isinstance(batch["x"], Sample)
    np.testing.assert_array_equal(batch["x"].image, IMAGES[:4])
    pair = batch["x"].target["label"]
    assert isinstance(pair, Pair)
    # A value without rows belongs to every sample of the batch.
    np.testing.assert_array_equal(pair.image, [1] * 4)
    np.testing.assert_array_equal(pair.label, LABELS[:4])
    np.testing.assert_array_equal(batch["x"].target["scale"], [0.5] * 4)
    assert batch["x"].kind == ["photo"] * 4
    assert batch["u"].shape == (4,)


def test_a_batch_without_any_rows_has_no_samples_to_map() -> None:
    source = named().map(lambda batch: {"scale": 0.5}).map_samples(lambda sample, rng: sample)
    with pytest.raises(ValueError, match="no member of the batch has a row for each sample"):
        next(source.batch_iterator(4))


@pytest.mark.parametrize("make", [named, nested])
def test_every_pool_gives_the_structure_that_was_made(make: Any, actors: rb.RayActorPool) -> None:
    source = make()
    wanted = list(rb.Loader(source, 4, shuffle=3))
    for pool in (rb.ThreadPool(2), actors):
        loader = rb.Loader(source, 4, shuffle=3, pool=pool)
        for batch, expected in zip(loader, wanted, strict=True):
            same(batch, expected)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (named(), {"image": IMAGES[[8, 9, 9, 9]], "label": LABELS[[8, 9, 9, 9]]}),
        (rb.ArrayDataSource([LABELS]), (LABELS[[8, 9, 9, 9]],)),
        (
            rb.ArrayDataSource([LABELS, LABELS]).map(Pair),
            (Pair(LABELS[[8, 9, 9, 9]], LABELS[[8, 9, 9, 9]]),),
        ),
    ],
)
def test_padding_adds_a_key_a_member_or_makes_a_pair(source: Any, wanted: Any) -> None:
    valid = np.array([True, True, False, False])
    *_, last = rb.Loader(source, 4, last_batch="pad")
    same(last, {**wanted, "valid": valid} if isinstance(wanted, dict) else (*wanted, valid))


def test_a_field_of_the_name_that_padding_adds_is_refused() -> None:
    source = named().map(lambda batch: {"valid": batch["label"]})
    with pytest.raises(ValueError, match="already has a field 'valid'"):
        next(iter(rb.Loader(source, 4, last_batch="pad")))


def test_the_indices_are_a_key_too() -> None:
    batch = next(named(include_indices=True, indices=[7, 2]).batch_iterator(4))
    assert list(batch) == ["index", "image", "label"]
    np.testing.assert_array_equal(batch["index"], [7, 2])
    with pytest.raises(ValueError, match='adds a field "index"'):
        rb.ArrayDataSource({"index": LABELS}, include_indices=True)


def test_a_composite_of_dicts_is_one_dict() -> None:
    others = rb.ArrayDataSource({"view": IMAGES[::-1]})
    batch = next(rb.CompositeDataSource([named(), others]).batch_iterator(4))
    same(batch, {"image": IMAGES[:4], "label": LABELS[:4], "view": IMAGES[::-1][:4]})
    batch = next(rb.CompositeDataSource([named(), others], flatten=False).batch_iterator(4))
    same(batch, ({"image": IMAGES[:4], "label": LABELS[:4]}, {"view": IMAGES[::-1][:4]}))


def test_a_composite_of_dicts_and_tuples_is_a_tuple() -> None:
    source = rb.CompositeDataSource([named(), rb.ArrayDataSource([LABELS])])
    same(next(source.batch_iterator(2)), ({"image": IMAGES[:2], "label": LABELS[:2]}, LABELS[:2]))


def test_a_composite_of_a_dict_of_sources_names_their_batches() -> None:
    source = rb.CompositeDataSource({"labelled": named(), "unlabelled": named(repeats=-1)})
    batch = next(source.batch_iterator(2))
    half = {"image": IMAGES[:2], "label": LABELS[:2]}
    same(batch, {"labelled": half, "unlabelled": half})


def test_two_fields_of_one_name_in_a_composite_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have a field 'image'.*flatten=False"):
        next(rb.CompositeDataSource([named(), named()]).batch_iterator(2))


def test_a_choice_keeps_names() -> None:
    batches = list(rb.ChoiceDataSource([named(), named()]).batch_iterator(5))
    assert [list(batch) for batch in batches] == [["image", "label"]] * 4


class Broken:
    """An array-like that cannot read sample 5."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: Any) -> Any:
        if np.any(np.asarray(index) == 5):
            raise OSError("unreadable")
        return LABELS[index]


@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_bad_samples_of_named_fields(policy: str) -> None:
    source = rb.ArrayDataSource({"image": IMAGES, "label": Broken()})
    setting = rb.BadSamples(policy, limit=1)
    with rb.Loader(source, N, bad_samples=setting) as loader:
        (batch,) = loader
        assert [bad.index for bad in loader.bad_samples] == [5]
    assert list(batch) == ["image", "label"]
    assert len(batch["label"]) == (9 if policy == "skip" else 10)
    np.testing.assert_array_equal(batch["image"], IMAGES[batch["label"]])


def test_ranks_and_states_of_named_fields() -> None:
    whole = [batch["label"] for batch in rb.Loader(named(), 4, shuffle=1, last_batch="drop")]
    halves = [
        [
            batch["label"]
            for batch in rb.Loader(
                named(), 2, shuffle=1, last_batch="drop", split=rb.RankSplit(rank, 2)
            )
        ]
        for rank in (0, 1)
    ]
    np.testing.assert_array_equal(
        np.concatenate(whole), np.concatenate([*map(np.concatenate, zip(*halves, strict=True))])
    )
    loader = rb.Loader(named(), 4, shuffle=1)
    next(iter(loader))
    again = rb.Loader(named(), 3, shuffle=1)
    again.load_state_dict(loader.state_dict())
    order = np.concatenate([batch["label"] for batch in rb.Loader(named(), N, shuffle=1)])
    np.testing.assert_array_equal(np.concatenate([batch["label"] for batch in again]), order[4:])


def test_names_and_types_count_in_a_digest_and_the_order_of_keys_does_not() -> None:
    def digest(batch: Any) -> str:
        return rb.stream_digest([batch])

    x, y = np.arange(3), np.arange(3.0)
    assert digest({"x": x, "y": y}) == digest({"y": y, "x": x})
    different = [
        digest(batch)
        for batch in (
            {"x": x, "y": y},
            {"x": y, "y": x},
            {"x": x, "z": y},
            (x, y),
            Pair(x, y),
            Sample(x, y),
            {"x": {"y": y}},
            {"x": None, "y": y},
        )
    ]
    assert len(set(different)) == len(different)


def test_a_batch_function_of_names_and_their_sums() -> None:
    sums = named().batch_map_mean(lambda batch: batch["label"].sum(), 3)
    assert sums == (4.5,)
    (rows,) = (
        named().batch_map_concat(lambda scale, batch: batch["label"] * scale, 3, prepend_args=(2,))
        or ()
    )
    np.testing.assert_array_equal(rows, LABELS * 2)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({}, ValueError, "at least one"),
        ({0: LABELS}, TypeError, "names of fields in data must be strings, not 0"),
        ({"x": [1, 2]}, TypeError, r"data\['x'\] must be an array"),
        ({"x": LABELS, "y": LABELS[:3]}, ValueError, r"length 10, while data\['y'\] has length 3"),
        (LABELS, TypeError, "must be a list or a dict"),
    ],
)
def test_wrong_fields_are_refused_by_name(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rb.ArrayDataSource(data)


class Items:
    """A data set of dicts that takes one index at a time."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> Any:
        return {"image": IMAGES[index], "target": (LABELS[index], "text")}


def test_a_data_set_of_items_by_itself_gives_their_structure() -> None:
    source = rb.ArrayDataSource(rb.ItemAccessor(Items()))
    same(
        next(source.batch_iterator(2)), {"image": IMAGES[:2], "target": (LABELS[:2], ["text"] * 2)}
    )
    source = rb.ArrayDataSource(rb.ItemAccessor(LABELS), include_indices=True)
    same(next(source.batch_iterator(2)), (LABELS[:2], LABELS[:2]))

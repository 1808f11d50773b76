"""One draw moves an image and all that belongs to it: mask, boxes, labels and keypoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import raybatch as rb
from raybatch.image import augment
from raybatch.image.view import Crop, Mirror, Step

WRONG: Any = augment
FILL = 7


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


class Nearest(augment.Geometric):
    """What another transform does, with the nearest pixel: so an image may be its own mask."""

    def __init__(self, change: augment.Geometric) -> None:
        self._change = change

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        return [
            (
                step
                if isinstance(step, (Crop, Mirror))
                else step._replace(resample=Image.Resampling.NEAREST)
            )
            for step in self._change.steps(width, height, rng)
        ]


def brighter(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.point(lambda value: min(255, value + int(rng.integers(1, 9))))


CROP = augment.RandomResizedCrop((20, 24))
TURN = augment.RandomAffine(180, shear=17, interpolation="bilinear", fill=FILL)
TILT = augment.RandomPerspective(0.2, p=1, fill=FILL)
GEOMETRIC: list[augment.Geometric] = [
    CROP,
    augment.RandomCrop((18, 22), padding=4, fill=FILL),
    augment.CenterCrop(26),
    augment.RandomHorizontalFlip(),
    augment.RandomVerticalFlip(),
    augment.Resize((20, 33), "bicubic"),
    augment.Resize(25),
    augment.Letterbox(31, FILL),
    augment.RandomRotation(180, expand=True, fill=FILL),
    augment.RandomAffine(40, (0.2, 0.2), (0.6, 1.5), fill=FILL),
    TURN,
    TILT,
    augment.RandomPerspective(p=1, fill=FILL),
]


def numbered(dtype: Any = np.uint8) -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(0, 200, (28, 36)).astype(dtype)


@pytest.mark.parametrize("number", range(len(GEOMETRIC)))
def test_what_was_equal_before_is_equal_after(number: int) -> None:
    """More than 10,000 draws in all."""
    change = Nearest(GEOMETRIC[number])
    image, draws = numbered(), rng(number)
    moved = 0
    for _ in range(1000):
        made, mask = change(image, mask=image, rng=draws, mask_fill=FILL)
        np.testing.assert_array_equal(made, mask)
        moved += made.shape != image.shape or not np.array_equal(made, image)
    assert moved > 300


@pytest.mark.parametrize("change", GEOMETRIC, ids=repr)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int64", "float32"])
def test_masks_of_all_kinds_are_moved_alike(change: Any, dtype: str) -> None:
    values = numbered() % 2 if dtype == "bool" else numbered() % 100
    wanted_fill = 1 if dtype == "bool" else 77
    mask = values.astype(dtype)
    before = mask.copy()
    for seed in range(5):
        _, wanted = change(values, mask=values, rng=rng(seed), mask_fill=wanted_fill)
        _, made = change(values, mask=mask, rng=rng(seed), mask_fill=wanted_fill)
        _, planes = change(values, mask=np.stack([mask] * 3), rng=rng(seed), mask_fill=wanted_fill)
        assert made.dtype == mask.dtype
        np.testing.assert_array_equal(made, wanted.astype(dtype))
        np.testing.assert_array_equal(planes, np.stack([made] * 3))
        assert set(np.unique(made)) <= {*np.unique(mask), wanted_fill}
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "I"])
def test_masks_that_are_pillow_images_keep_their_mode(mode: str) -> None:
    values = numbered() % 21
    mask = palette_image(values) if mode == "P" else Image.fromarray(values)
    if mode == "I;16":
        mask = Image.fromarray(values.astype(np.uint16) * 1000)
    elif mode != "P":
        mask = mask.convert(mode)
    change = augment.Letterbox((40, 40))
    _, made = change(Image.fromarray(values).convert("RGB"), mask=mask, rng=rng())
    assert made.mode == mode
    assert made.getpalette() == mask.getpalette()
    margin = np.asarray(made)[0]
    assert (margin == (0 if mode == "1" else 255)).all()
    assert set(np.unique(np.asarray(made)[10:30])) == set(np.unique(np.asarray(mask)))


def test_around_a_mask_is_what_is_asked_for() -> None:
    image, change = numbered(), augment.Letterbox(40)
    for mask, fill, wanted in (
        (image, None, 255),
        (image, 3, 3),
        (image > 9, None, False),
        (image[None], None, 0),
        (image[None], 3, 3),
    ):
        settings = {} if fill is None else {"mask_fill": fill}
        made = change(image, mask=mask, rng=rng(), **settings)[1]
        assert (made[..., 0, :] == wanted).all()
    assert change(image, mask=np.zeros((0, *image.shape), bool), rng=rng())[1].shape == (0, 40, 40)


def palette_image(values: npt.NDArray[np.uint8]) -> Image.Image:
    """Return class numbers as PASCAL VOC stores them: with a palette of colours."""
    image = Image.fromarray(values).convert("P")
    image.putdata(values.ravel().tolist())
    palette = np.zeros((256, 3), np.uint8)
    for number in range(256):
        for bit in range(8):
            for channel in range(3):
                palette[number, channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    image.putpalette(palette.ravel().tolist())
    return image


@st.composite
def pipelines(draw: st.DrawFn, with_turns: bool) -> augment.Compose:
    """Crops and flips, one scaling among them: a second would move the rounded edges of the first by more than a pixel."""
    size = st.tuples(st.integers(40, 160), st.integers(40, 160))
    scaled = [
        st.builds(augment.Resize, size, st.just("nearest")),
        st.builds(augment.RandomResizedCrop, size, st.just((0.3, 1.0))),
        st.builds(augment.Letterbox, size, st.just(0), st.just("nearest")),
    ]
    others = [
        st.builds(augment.CenterCrop, size),
        st.just(augment.RandomHorizontalFlip()),
        st.just(augment.RandomVerticalFlip()),
    ]
    turns = [st.just(TURN), st.just(TILT)] if with_turns else []
    before, after = (draw(st.lists(st.one_of([*others, *turns]), max_size=2)) for _ in range(2))
    return augment.Compose([*before, draw(st.one_of(scaled)), *after])


def extent(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return left, top, right and bottom of what is set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


BOX = st.tuples(st.integers(0, 80), st.integers(0, 60), st.integers(15, 60), st.integers(15, 60))


@settings(max_examples=300, derandomize=True)
@given(pipelines(with_turns=False), BOX, st.integers(0, 99))
def test_a_rectangle_is_where_its_box_is(change: Any, box: tuple[int, ...], seed: int) -> None:
    left, top, width, height = box
    image = np.zeros((130, 150), np.uint8)
    image[top : top + height, left : left + width] = 255
    given_box = [[left, top, left + width, top + height]]
    _, mask, boxes = change(image, mask=image > 0, boxes=given_box, rng=rng(seed))
    if not mask.any():
        assert (boxes[:, 2:] - boxes[:, :2]).min(initial=0) <= 1.5
        return
    # A strip thinner than a pixel may be seen or not.
    np.testing.assert_allclose(boxes[0], extent(mask), atol=1.01)


@settings(max_examples=100, derandomize=True)
@given(BOX, st.integers(0, 99), st.sampled_from([TURN, TILT]), st.integers(60, 150))
def test_what_was_turned_is_within_its_box(
    box: tuple[int, ...], seed: int, turn: augment.Geometric, size: int
) -> None:
    left, top, width, height = box
    image = np.zeros((130, 150), np.uint8)
    image[top : top + height, left : left + width] = 255
    given_box = [[left, top, left + width, top + height]]
    cut = augment.CenterCrop(size)
    for change in (turn, augment.Compose([cut, turn, turn]), augment.Compose([turn, cut])):
        _, mask, boxes = change(image, mask=image > 0, boxes=given_box, rng=rng(seed))
        if not mask.any():
            continue
        seen = np.array(extent(mask))
        assert (boxes[0, :2] <= seen[:2] + 1).all()
        assert (boxes[0, 2:] >= seen[2:] - 1).all()
        if change is turn and (seen[:2] > 1).all() and (seen[2:] < (149, 129)).all():
            # The corners of what was turned are sharp: less than half a pixel of one may be seen.
            np.testing.assert_allclose(boxes[0], seen, atol=2)


@pytest.mark.parametrize(
    "change",
    [
        augment.RandomRotation(180),
        augment.RandomRotation(180, expand=True),
        augment.RandomAffine(40, (0.2, 0.2), (0.6, 1.5), 20),
        augment.RandomPerspective(0.5, p=1.0),
        augment.RandAugment(2, 15),
        augment.TrivialAugmentWide(),
    ],
    ids=lambda change: type(change).__name__,
)
def test_the_box_of_what_was_turned_is_tight(change: Any) -> None:
    draws, inside = rng(), 0
    for _ in range(100):
        left, top, width, height = draws.integers((20, 20, 15, 15), (80, 70, 50, 50))
        image = np.zeros((130, 150), np.uint8)
        image[top : top + height, left : left + width] = 255
        given_box = [[left, top, left + width, top + height]]
        _, mask, boxes = change(image, mask=image > 0, boxes=given_box, rng=draws)
        if not mask.any():
            continue
        seen = np.array(extent(mask))
        assert (boxes[0, :2] <= seen[:2] + 1).all()
        assert (boxes[0, 2:] >= seen[2:] - 1).all()
        if (seen[:2] > 1).all() and (seen[2:] < np.array(mask.shape[::-1]) - 1).all():
            np.testing.assert_allclose(boxes[0], seen, atol=1.01)
            inside += 1
    assert inside > 50


def test_of_a_box_what_was_cut_off_is_not_turned() -> None:
    """The box of the rest is smaller than that of the whole, cut off: what was cut off is turned nowhere."""
    image = np.zeros((100, 100), np.uint8)
    for seed in range(20):
        boxes = np.array([[0, 0, 45, 100.0], [20, 40, 90, 50]])
        rest = np.array([[0, 0, 15, 40.0], [0, 10, 40, 20]])
        _, both = augment.Compose([augment.CenterCrop(40), TURN])(image, boxes=boxes, rng=rng(seed))
        _, alone = augment.Compose([TURN])(image[:40, :40], boxes=rest, rng=rng(seed))
        np.testing.assert_allclose(both, alone, atol=1e-9)


def written(corners: npt.NDArray[Any], box_format: str, relative: bool, size: Any) -> Any:
    """Return boxes in another format, by the definitions of the formats."""
    left, top, right, bottom = corners.T
    boxes = {
        "xyxy": [left, top, right, bottom],
        "xywh": [left, top, right - left, bottom - top],
        "cxcywh": [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top],
    }[box_format]
    height, width = size
    return np.stack(boxes, axis=1) / ((width, height, width, height) if relative else 1)


@pytest.mark.parametrize("change", GEOMETRIC, ids=repr)
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("box_format", ["xyxy", "xywh", "cxcywh"])
def test_boxes_of_all_formats_are_moved_alike(change: Any, box_format: str, relative: bool) -> None:
    image = numbered()
    places = rng().uniform(0, 14, (6, 2))
    corners = np.concatenate([places, places + rng(2).uniform(3, 13, (6, 2))], axis=1)
    for seed in range(10):
        made, wanted, kept = change(image, boxes=corners, labels=np.arange(6), rng=rng(seed))
        how: dict[str, Any] = {"box_format": box_format, "relative": relative}
        boxes = written(corners, box_format, relative, image.shape)
        for dtype in (np.float32, np.float64):
            _, moved, labels = change(
                image, boxes=boxes.astype(dtype), labels=[*"abcdef"], rng=rng(seed), **how
            )
            assert moved.dtype == dtype
            assert labels == [[*"abcdef"][number] for number in kept]
            expected = written(wanted, box_format, relative, made.shape)
            np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_a_box_that_is_hardly_seen_is_dropped_with_all_that_belongs_to_it() -> None:
    image = np.zeros((10, 20), np.uint8)
    half = augment.CenterCrop((10, 10))  # columns 5 to 15
    boxes = np.array([[0, 0, 4, 4], [4, 0, 8, 4], [3, 0, 7, 4], [2, 0, 6, 4], [6, 2, 6, 5.0]])
    objects = np.zeros((5, 10, 20), bool)
    points = np.arange(5 * 2 * 3).reshape(5, 2, 3).astype(np.float32)
    labels: dict[str, Any] = {"class": np.arange(5), "name": [*"abcde"]}
    given_all: dict[str, Any] = {
        "boxes": boxes,
        "labels": labels,
        "mask": objects,
        "keypoints": points,
    }
    for share, kept in ((0.0, [1, 2, 3]), (0.25, [1, 2, 3]), (0.5, [1, 2]), (0.51, [1]), (1.0, [])):
        _, masks, moved, names, places = half(image, rng=rng(), min_visible=share, **given_all)
        assert names["class"].tolist() == kept
        assert names["name"] == [labels["name"][number] for number in kept]
        assert (len(masks), len(moved), len(places)) == (len(kept),) * 3
        assert moved.shape == (len(kept), 4)
    assert moved.dtype == boxes.dtype
    _, moved = half(image, boxes=boxes, rng=rng())
    assert moved.tolist() == [[0, 0, 3, 4], [0, 0, 2, 4], [0, 0, 1, 4]]
    # The labels of one that nothing was dropped from are themselves.
    names = ["a"]
    assert half(image, boxes=[[6, 1, 8, 3]], labels=names, rng=rng())[2] is names
    empty: list[Any] = [[], np.zeros((0, 4), np.float32)]
    for none in empty:
        assert half(image, boxes=none, labels=[], rng=rng())[1].shape == (0, 4)


@settings(max_examples=200, derandomize=True)
@given(pipelines(with_turns=True), st.integers(0, 99), st.integers(30, 120), st.integers(30, 100))
def test_a_keypoint_is_where_its_spot_is(change: Any, seed: int, x: int, y: int) -> None:
    image = np.zeros((130, 150), np.uint8)
    image[y - 7 : y + 8, x - 7 : x + 8] = 255
    point = np.array([[x + 0.5, y + 0.5, 2]])
    _, mask, moved = change(image, mask=image > 0, keypoints=point, rng=rng(seed))
    if moved[0, 2]:
        rows, columns = np.nonzero(mask)
        # A crop may cut the spot at the point itself, and leave a few pixels of it that lie beside
        # the point.
        if len(rows) > 16:
            assert np.hypot(columns + 0.5 - moved[0, 0], rows + 0.5 - moved[0, 1]).min() < 2
    else:
        assert moved.tolist() == [[0, 0, 0]]
        assert mask.sum() < 0.75 * 225 * 16


def test_keypoints_that_are_not_seen_are_zeros() -> None:
    image = np.zeros((10, 20), np.uint8)
    half = augment.CenterCrop((10, 10))  # columns 5 to 15
    points = np.array([[4.9, 1, 2], [5, 1, 2], [14.9, 9.9, 1], [15.1, 1, 1], [7, 7, 0]])
    _, moved = half(image, keypoints=points, rng=rng())
    wanted = np.array([[0, 0, 0], [0, 1, 2], [9.9, 9.9, 1], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(moved, wanted, atol=1e-9)
    _, moved = half(image, keypoints=points[:, :2].astype(np.float32), rng=rng())
    wanted[4, :2] = 2, 7
    np.testing.assert_allclose(moved, wanted[:, :2], atol=1e-5)
    relative = points[:, :2] / (20, 10)
    _, moved = half(image, keypoints=relative, relative=True, rng=rng())
    np.testing.assert_allclose(moved[2], [0.99, 0.99])


def test_a_keypoint_that_a_crop_has_cut_off_does_not_come_back_when_the_rest_is_turned() -> None:
    image = np.zeros((40, 40), np.uint8)
    points = np.array([[20, 9, 2], [20, 12, 2]])  # the crop begins at row 10
    change = augment.Compose([augment.CenterCrop((20, 20)), augment.RandomRotation((45, 45))])
    _, moved = change(image, keypoints=points, rng=rng())
    assert moved[0].tolist() == [0, 0, 0]
    assert np.hypot(*(moved[1, :2] - 10)) == pytest.approx(8)


def test_in_a_mirror_image_left_is_right() -> None:
    image = np.zeros((10, 20), np.uint8)
    person = np.array([[[10, 1, 1], [8, 2, 1], [12, 3, 1]]], np.float32)
    flip = augment.RandomHorizontalFlip(p=1)
    _, moved = flip(image, keypoints=person, flip_pairs=[(1, 2)], rng=rng())
    assert moved.tolist() == [[[10, 1, 1], [8, 3, 1], [12, 2, 1]]]
    both = augment.Compose([flip, augment.RandomVerticalFlip(p=1)])
    _, moved = both(image, keypoints=person, flip_pairs=[(1, 2)], rng=rng())
    assert moved.tolist() == [[[10, 9, 1], [12, 8, 1], [8, 7, 1]]]


@settings(max_examples=50, derandomize=True)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 90), st.integers(8, 90))
def test_boxes_of_a_model_are_back_in_the_image(
    height: int, width: int, own_height: int, own_width: int
) -> None:
    image = np.zeros((height, width), np.uint8)
    letterbox = augment.Compose([augment.Letterbox((own_height, own_width))])
    boxes = np.array([[0, 0, width, height], [width / 4, height / 3, width / 2, height / 2]])
    _, seen = letterbox(image, boxes=boxes, rng=rng())
    back = letterbox.boxes_back(seen, image.shape)
    np.testing.assert_allclose(back, boxes, rtol=1e-9, atol=1e-9)
    everything = [[0, 0, own_width, own_height]]
    np.testing.assert_allclose(
        letterbox.boxes_back(everything, (height, width)), boxes[:1], rtol=1e-6
    )
    as_yolo: dict[str, Any] = {"box_format": "cxcywh", "relative": True}
    middle = letterbox.boxes_back(np.array([[0.5, 0.5, 1, 1]]), (height, width), **as_yolo)
    np.testing.assert_allclose(middle, [[0.5, 0.5, 1, 1]])


def test_the_way_back_of_a_random_change_is_not_known() -> None:
    with pytest.raises(ValueError, match="is random, so it cannot be undone"):
        CROP.boxes_back([[0, 0, 1, 1]], (9, 9))


def twice(change: Any, image: Any, mask: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    return change(image, rng=rng), change(mask, rng=rng)


def apart(change: Any, image: Any, mask: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    one, other = rng.spawn(2)
    return change(image, rng=one), change(mask, rng=other)


def in_turn(change: Any, image: Any, mask: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    mask = augment.RandomHorizontalFlip()(mask, rng=rng)
    return change(image, rng=rng), augment.CenterCrop((20, 24))(
        augment.CenterCrop(26)(mask, rng=rng), rng=rng
    )


def of_samples(fn: Callable[..., Any], change: Any) -> Any:
    images = np.stack([numbered()] * 4)
    source = rb.ArrayDataSource([images, images]).map_samples(partial(fn, change))
    (batch,) = rb.Loader(source, 4)
    return batch


def test_a_change_that_is_called_twice_for_one_sample_is_refused() -> None:
    change = augment.Compose([CROP, augment.RandomHorizontalFlip()])
    for each in (change, CROP):
        with pytest.raises(
            rb.errors.BatchError,
            match=r"TypeError: .* called twice with the generator of one sample",
        ):
            of_samples(twice, each)
    fixed = augment.Resize((9, 9))
    np.testing.assert_array_equal(*of_samples(twice, fixed))
    one, other = of_samples(apart, change)
    assert not np.array_equal(one, other)
    assert of_samples(in_turn, change)[0].shape == (4, 20, 24)
    # A generator of the program's own gives what it gives.
    draws = rng()
    assert not np.array_equal(*twice(change, numbered(), numbered(), draws))


def test_dict_samples() -> None:
    change = augment.Compose([CROP, brighter, augment.RandomHorizontalFlip()])
    sample: dict[str, Any] = {
        "image": numbered(),
        "classes": numbered(np.int32),
        "boxes": np.array([[1, 2, 20, 20], [30, 20, 3, 3]], np.float32),
        "label": [*"ab"],
        "area": np.array([5, 6]),
        "file": "x.png",
    }
    fn = change.on(
        image="image", mask="classes", boxes="boxes", labels=("label", "area"), box_format="xywh"
    )
    made = fn(sample, rng=rng(4))
    assert list(made) == list(sample)
    image, mask, boxes, (label, area) = change(
        sample["image"],
        mask=sample["classes"],
        boxes=sample["boxes"],
        labels=(sample["label"], sample["area"]),
        box_format="xywh",
        rng=rng(4),
    )
    for name, wanted in {"image": image, "classes": mask, "boxes": boxes, "area": area}.items():
        np.testing.assert_array_equal(made[name], wanted)
    assert (made["label"], made["file"]) == (label, "x.png")
    as_pillow = {"image": Image.fromarray(sample["image"]), "mask": palette_image(numbered())}
    pictures = change.on(image="image", mask="mask")(as_pillow, rng=rng(4))
    np.testing.assert_array_equal(pictures["image"], image)
    np.testing.assert_array_equal(pictures["mask"], mask)
    only = change.on(image="image")(sample, rng=rng(4))
    np.testing.assert_array_equal(only["image"], image)
    assert only["boxes"] is sample["boxes"]
    with pytest.raises(KeyError, match=r"no field 'boxes'; it has"):
        fn({"image": numbered(), "classes": numbered()}, rng=rng())


def test_a_source_of_dicts_is_changed_sample_by_sample() -> None:
    images = np.stack([numbered()] * 6)
    fields = {"image": images, "mask": images.astype(np.int64), "number": np.arange(6)}
    change = augment.Compose([Nearest(CROP), brighter, augment.RandomHorizontalFlip()])
    source = rb.ArrayDataSource(fields).map_samples(change.on(image="image", mask="mask"))
    (whole,) = rb.Loader(source, 6, shuffle=3)
    assert [whole[name].shape for name in fields] == [(6, 20, 24), (6, 20, 24), (6,)]
    assert not np.array_equal(whole["mask"][0], whole["mask"][1])
    with rb.ThreadPool(2) as pool:
        parts = list(rb.Loader(source, 4, shuffle=3, pool=pool))
    for name in fields:
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_array_equal(joined, whole[name])


@pytest.mark.parametrize(
    ("given_targets", "error", "message"),
    [
        ({"mask": numbered()[1:]}, ValueError, r"the size of its image: it has 27 × 36 .* 28 × 36"),
        ({"mask": Image.new("L", (36, 27))}, ValueError, "27 × 36 pixels"),
        ({"mask": Image.new("RGB", (36, 28))}, ValueError, "one channel, not of mode RGB"),
        (
            {"mask": numbered(np.float64)},
            TypeError,
            "integers, bools or float32, not array of float64",
        ),
        ({"mask": [[1]]}, TypeError, "not <class 'list'>"),
        ({"mask": numbered()[0]}, ValueError, r"\(H, W\) or \(k, H, W\), not \(36,\)"),
        (
            {"mask": numbered(), "mask_fill": 256},
            ValueError,
            "a mask of uint8 cannot hold mask_fill=256",
        ),
        ({"mask": numbered(np.int64) + 2**40}, ValueError, "32-bit"),
        ({"boxes": np.zeros((3, 5))}, ValueError, r"\(k, 4\), not \(3, 5\)"),
        ({"boxes": np.zeros((3, 4), np.float16)}, TypeError, "float32 or float64, not of float16"),
        ({"boxes": np.zeros((3, 4)), "labels": [1, 2]}, ValueError, "each of 3 boxes, not 2"),
        ({"labels": [1, 2]}, TypeError, "give boxes too"),
        ({"boxes": np.zeros((1, 4)), "box_format": "yxyx"}, ValueError, "'cxcywh', not 'yxyx'"),
        (
            {"boxes": [[0, 0, 1, 1], [3, 4, 9, 9]], "relative": True},
            ValueError,
            r"boxes\[1\] is \[3\.0, 4\.0, 9\.0, 9\.0\], but relative=True takes fractions",
        ),
        ({"boxes": np.zeros((1, 4)), "min_visible": 2}, ValueError, "from 0 to 1, not 2"),
        ({"keypoints": np.zeros((3, 4))}, ValueError, r"not \(3, 4\)"),
        ({"masks": numbered()}, TypeError, "masks"),
    ],
)
def test_wrong_targets_are_refused(
    given_targets: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        augment.CenterCrop(9)(numbered(), rng=rng(), **given_targets)


def test_a_function_that_changes_the_size_leaves_no_targets_behind() -> None:
    def halved(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.reduce(2)

    change = augment.Compose([halved])
    assert change(numbered(), rng=rng()).shape == (14, 18)
    with pytest.raises(ValueError, match=r"halved.* changed the size"):
        change(numbered(), mask=numbered(), rng=rng())


def test_a_part_of_a_compose_has_numbers_of_its_own() -> None:
    def greedy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        rng.random(int(rng.integers(1, 9)))
        return image

    def modest(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image

    for seed in range(20):
        one, other = (
            augment.Compose([CROP, part, augment.RandomHorizontalFlip()])(numbered(), rng=rng(seed))
            for part in (greedy, modest)
        )
        np.testing.assert_array_equal(one, other)
    seen: list[float] = []

    def draws(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        seen.extend([rng.random(), rng.spawn(1)[0].random(), rng.spawn(1)[0].random()])
        return image

    for _ in range(2):
        augment.Compose([draws, draws])(numbered(), rng=rng())
    assert seen[:6] == seen[6:]
    assert len(set(seen)) == 6


def test_a_flip_loses_no_keypoint_on_the_edge() -> None:
    points = np.array([[0, 3, 2], [99, 4, 2]])
    flip = augment.RandomHorizontalFlip(1)
    _, moved = flip(np.zeros((50, 100), np.uint8), keypoints=points, rng=rng())
    assert moved.tolist() == [[100, 3, 2], [1, 4, 2]]


def test_boxes_and_keypoints_are_finite_or_none() -> None:
    image, flip = np.zeros((9, 9), np.uint8), augment.RandomHorizontalFlip(1)
    with pytest.raises(ValueError, match="boxes must be finite numbers, not nan"):
        flip(image, boxes=[[0, 0, np.nan, 1]], rng=rng())
    with pytest.raises(ValueError, match="keypoints must be finite numbers, not inf"):
        flip(image, keypoints=[[0, np.inf]], rng=rng())
    assert flip(image, keypoints=[], rng=rng())[1].shape == (0, 2)

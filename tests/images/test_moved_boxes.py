"""Transforms move boxes and keypoints together with the pixels that they mark."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybatch.image import augment
from tests.images.geometric import CROP, GEOMETRIC, TILT, TURN, numbered, rng


@st.composite
def pipelines(draw: st.DrawFn, with_turns: bool) -> augment.Compose:
    """Return crops and flips with one change of scale; if `with_turns`, also turns.

    A second change of scale would move the rounded edges of the first by more than a pixel.
    """
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
    """Return the left, top, right and bottom edges of the pixels that are set."""
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
    # A strip thinner than a pixel may or may not be visible in the mask.
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
            # A turned rectangle has sharp corners, whose tips may be too thin to show in the mask.
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
    """A turn does not bring back the part of a box that a crop has cut off.

    Otherwise the box around the turned remainder would be too large.
    """
    image = np.zeros((100, 100), np.uint8)
    for seed in range(20):
        boxes = np.array([[0, 0, 45, 100.0], [20, 40, 90, 50]])
        rest = np.array([[0, 0, 15, 40.0], [0, 10, 40, 20]])
        _, both = augment.Compose([augment.CenterCrop(40), TURN])(image, boxes=boxes, rng=rng(seed))
        _, alone = augment.Compose([TURN])(image[:40, :40], boxes=rest, rng=rng(seed))
        np.testing.assert_allclose(both, alone, atol=1e-9)


def written(corners: npt.NDArray[Any], box_format: str, relative: bool, size: Any) -> Any:
    """Return the boxes `corners` in `box_format`, by the definition of that format."""
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
    half = augment.CenterCrop((10, 10))  # keeps columns 5 to 15
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
    # If no box is dropped, the labels are the same object.
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
        # If a crop cuts the spot right at the point, it may leave only a few pixels beside the
        # point.
        if len(rows) > 16:
            assert np.hypot(columns + 0.5 - moved[0, 0], rows + 0.5 - moved[0, 1]).min() < 2
    else:
        assert moved.tolist() == [[0, 0, 0]]
        assert mask.sum() < 0.75 * 225 * 16


def test_keypoints_that_are_not_seen_are_zeros() -> None:
    image = np.zeros((10, 20), np.uint8)
    half = augment.CenterCrop((10, 10))  # keeps columns 5 to 15
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

"""Boxes and keypoints compared with torchvision's, moved with the same parameters.

If torchvision is installed, run them with
`pytest -m torchvision tests/images/test_torchvision_targets.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

pytestmark = pytest.mark.torchvision
torchvision: Any = pytest.importorskip("torchvision", reason="compares with torchvision")
torch: Any = pytest.importorskip("torch")
F: Any = pytest.importorskip("torchvision.transforms.v2.functional")

from raybatch.image.motion import Motion  # noqa: E402
from raybatch.image.view import Crop, Mirror, Scale, Step, Warp  # noqa: E402

WIDTH, HEIGHT = 90, 70
NEAREST = Image.Resampling.NEAREST


def affine(vector: list[float]) -> Warp:
    """Return the warp for `vector`, the coefficients that torchvision passes to Pillow."""
    return Warp((WIDTH, HEIGHT), tuple(vector))


def inverse_matrix(angle: float, shear: list[float]) -> list[float]:
    made = torchvision.transforms.functional._get_inverse_affine_matrix(
        [WIDTH * 0.5, HEIGHT * 0.5], angle, [3.0, -5.0], 1.2, shear
    )
    return [float(value) for value in made]


START = [[0, 0], [WIDTH - 1, 0], [WIDTH - 1, HEIGHT - 1], [0, HEIGHT - 1]]
END = [[5, 8], [80, 3], [85, 66], [9, 60]]


def perspective() -> Warp:
    made = torchvision.transforms.functional._get_perspective_coeffs(START, END)
    return Warp((WIDTH, HEIGHT), tuple(float(value) for value in made))


CASES: dict[str, tuple[Callable[[], Step], str, tuple[Any, ...]]] = {
    "mirror": (lambda: Mirror(columns=True), "horizontal_flip", ()),
    "turned over": (lambda: Mirror(rows=True), "vertical_flip", ()),
    "crop": (lambda: Crop((10, 20, 60, 55)), "crop", (20, 10, 35, 50)),
    "padding": (lambda: Crop((-5, -7, WIDTH + 2, HEIGHT + 4)), "pad", ([5, 7, 2, 4],)),
    "resize": (
        lambda: Scale((45, 101), NEAREST, (0, 0, WIDTH, HEIGHT)),
        "resize",
        ([101, 45],),
    ),
    "affine": (
        lambda: affine(inverse_matrix(30.0, [10.0, -5.0])),
        "affine",
        (30.0, [3, -5], 1.2, [10.0, -5.0]),
    ),
    "perspective": (perspective, "perspective", (START, END)),
}


def boxes_and_points() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 50, (20, 2))
    return np.concatenate([places, places + rng.uniform(2, 20, (20, 2))], axis=1), places


@pytest.mark.parametrize("name", CASES)
def test_boxes_are_torchvisions(name: str) -> None:
    step, kind, arguments = CASES[name]
    boxes, _ = boxes_and_points()
    motion = Motion.of((WIDTH, HEIGHT), [step()])
    given = torchvision.tv_tensors.BoundingBoxes(
        torch.tensor(boxes), format="XYXY", canvas_size=(HEIGHT, WIDTH)
    )
    wanted = getattr(F, kind)(given, *arguments)
    assert wanted.canvas_size == motion.size[::-1]
    made = motion.seen(boxes)
    # Both keep a box that is cut off completely, as a box without area.
    np.testing.assert_allclose(made, wanted.numpy(), atol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_keypoints_are_torchvisions(name: str) -> None:
    step, kind, arguments = CASES[name]
    _, points = boxes_and_points()
    made = Motion.of((WIDTH, HEIGHT), [step()]).points(points)
    given = torchvision.tv_tensors.KeyPoints(torch.tensor(points), canvas_size=(HEIGHT, WIDTH))
    wanted = getattr(F, kind)(given, *arguments).numpy()
    if "flip" in kind:
        # In a flip, torchvision takes keypoints for indices of pixels. Otherwise it takes them for
        # places in the plane, like the edges of boxes.
        wanted[:, 0 if kind == "horizontal_flip" else 1] += 1
    inside = (made > 0).all(axis=1) & (made < wanted.max(axis=0)).all(axis=1)
    np.testing.assert_allclose(made[inside], wanted[inside], atol=1e-3)
    assert inside.sum() > 5

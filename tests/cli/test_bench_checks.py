"""A bench distinguishes contenders that do the work right from wrong and missing ones."""

from __future__ import annotations

import importlib.util
import itertools
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raybatch.bench.contenders import CONTENDERS, PLAIN, SCALED, Contender
from raybatch.bench.draws import cells_of, difference, epochs_to_draw
from raybatch.bench.measures import Seen, look_at
from raybatch.bench.measures import difference as difference_of_looks
from raybatch.bench.race import Standing, check, look
from raybatch.bench.recipes import EVAL
from raybatch.bench.work import Work
from tests.cli import wrong_contenders
from tests.cli.bench_work import contender_of, training_on, work_on, wrong

BLOCKED = """raise ModuleNotFoundError("No module named '{0}'", name="{0}")"""

# These contenders need Ray, which is slow to start, and they hardly differ from others. Every run
# of the bench checks them too.
_LEFT_OUT = ("raybatch-actors", "ray-data-tasks", "ray-data-actors")

RIGHT = [
    pytest.param(recipe, each, id=f"{recipe}-{each.name}")
    for recipe, contenders in CONTENDERS.items()
    for each in [*contenders, SCALED]
    if each.name not in _LEFT_OUT
]


@pytest.fixture(scope="module")
def reference(photos: list[str]) -> Seen:
    """The results of the plain loop."""
    return look(PLAIN, work_on(photos))


@pytest.fixture(scope="module")
def draws(photos: list[str]) -> Seen:
    """The random draws of the plain loop for the training recipe."""
    return look(PLAIN, training_on(photos))


def is_installed(module: str) -> bool:
    return all(
        importlib.util.find_spec(name) is not None
        for name in itertools.accumulate(module.split("."), "{}.{}".format)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "contender"), RIGHT)
def test_a_contender_gives_the_right_pixels_or_is_missing(
    recipe: str, contender: Contender, photos: list[str], reference: Seen, draws: Seen
) -> None:
    standing = Standing(contender)
    if recipe == "train":
        check(standing, training_on(photos), draws)
    elif recipe == "eval":
        work = replace(work_on(photos), recipe=EVAL)
        check(standing, work, look(PLAIN, work))
    else:
        check(standing, work_on(photos), reference)
    if not all(map(is_installed, contender.needs)):
        assert standing.state == "missing"
        assert standing.note.endswith(f"pip install '{contender.package}'")
    else:
        assert (standing.state, standing.note) == ("right", "")
        assert list(standing.versions) == list(contender.needs)


@pytest.mark.parametrize(
    ("name", "state", "note"),
    [
        (
            "other_filter",
            "differs",
            "40 of 40 images have other pixels than those of the plain loop",
        ),
        ("floats", "failed", "ValueError: a batch is float32 (16, 24, 32, 3)"),
        ("raising", "failed", "ZeroDivisionError: second batch"),
        ("dying", "failed", "its process ended before it had finished"),
    ],
)
def test_a_wrong_contender_is_found(
    name: str, state: str, note: str, photos: list[str], reference: Seen
) -> None:
    standing = Standing(wrong(name))
    check(standing, work_on(photos), reference)
    assert standing.state == state
    assert standing.note.startswith(note)
    assert ("Traceback" in standing.log) == (name in ("floats", "raising"))


def problem_of(name: str, work: Work, reference: Seen) -> str:
    """Return the fault that the checks find in a contender; it runs in this process, for speed."""
    contender = wrong(name)
    try:
        with closing(getattr(wrong_contenders, name)(work)) as batches:
            return str(difference_of_looks(contender, look_at(batches, work), reference, work))
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("other_order", "the batches hold other samples than those of the plain loop"),
        ("one_batch_twice", "32 different images of 40 came, 48 in all"),
    ],
)
def test_wrong_batches_are_found(name: str, note: str, photos: list[str], reference: Seen) -> None:
    assert problem_of(name, work_on(photos), reference).startswith(note)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("unnormalised", "the mean image of 1000 draws differs from the plain loop's by"),
        ("levels", "a batch has values from"),
        ("too_dark", "a batch has values from -"),
        ("not_a_number", "a batch has values from nan to nan"),
        ("channels_last", "a batch is float32 (16, 24, 32, 3)"),
        ("blue_first", "the mean image of 1000 draws differs from the plain loop's by"),
        ("indices_of_the_next", "the images do not match their indices"),
        ("same_draws_each_epoch", "the "),
        ("whole_images", "the draws of an image differ by 0.00"),
        ("large_parts", "the draws of an image differ by 0."),
        ("one_batch_twice", "40 different images of 40 came, 1008 in all epochs instead of 1000"),
    ],
)
def test_wrong_draws_are_found(name: str, note: str, photos: list[str], draws: Seen) -> None:
    assert problem_of(name, training_on(photos), draws).startswith(note)


@pytest.mark.parametrize("name", ["torch", "raybatch-threads"])
def test_right_draws_are_taken_for_right(name: str, photos: list[str], draws: Seen) -> None:
    contender = contender_of("train", name)
    for module in contender.needs:
        pytest.importorskip(module)
    standing = Standing(contender)
    check(standing, training_on(photos), draws)
    assert (standing.state, standing.note) == ("right", "")


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((1, 1), [(0, 1)], [(0, 1)]),
        ((2, 8), [(0, 1), (1, 2)], [(0, 2), (2, 4), (4, 6), (6, 8)]),
        ((6, 4), [(0, 1), (1, 3), (3, 4), (4, 6)], [(0, 1), (1, 2), (2, 3), (3, 4)]),
    ],
)
def test_the_cells_of_an_image_have_its_means(
    size: tuple[int, int], rows: list[tuple[int, int]], columns: list[tuple[int, int]]
) -> None:
    image = np.random.default_rng(0).normal(size=(3, *size)).astype(np.float32)
    cells = cells_of(image)
    assert cells.shape == (3, len(rows), len(columns))
    for row, (top, bottom) in enumerate(rows):
        for column, (left, right) in enumerate(columns):
            wanted = image[:, top:bottom, left:right].mean(axis=(1, 2))
            assert np.allclose(cells[:, row, column], wanted, atol=1e-6)


@pytest.mark.parametrize(("images", "epochs"), [(1, 1000), (40, 25), (500, 2), (10**6, 2)])
def test_there_are_draws_enough(images: int, epochs: int) -> None:
    assert epochs_to_draw(images) == epochs


def test_chance_is_no_difference() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(0, 0.7, size=(500, 1, 3, 4, 4))

    def drawn() -> dict[int, list[Any]]:
        return dict(enumerate(list(means + rng.normal(0, 0.4, size=(500, 2, 3, 4, 4)))))

    assert [difference(drawn(), drawn()) for _ in range(50)] == [None] * 50


EXTRA = "pip install 'raybatch[bench]'"


@pytest.mark.parametrize(
    ("recipe", "name", "module", "absent", "state", "note"),
    [
        ("stretch", "torch", "torch", "torch", "missing", f"no module torch: {EXTRA}"),
        (
            "stretch",
            "torch",
            "torch",
            "part_of_torch",
            "failed",
            "ModuleNotFoundError: No module named 'part_of_torch'",
        ),
        (
            "train",
            "torchvision",
            "torchvision",
            "torchvision",
            "missing",
            f"no module torchvision: {EXTRA}",
        ),
        (
            "train",
            "dali",
            "nvidia",
            "nvidia.dali",
            "missing",
            "no module nvidia.dali: pip install 'nvidia-dali-cuda120'",
        ),
    ],
)
def test_a_missing_peer_is_told_from_a_broken_one(
    photos: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    name: str,
    module: str,
    absent: str,
    state: str,
    note: str,
) -> None:
    (tmp_path / f"{module}.py").write_text(BLOCKED.format(absent))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    standing = Standing(contender_of(recipe, name))
    check(standing, work_on(photos), Seen([], {}))
    assert (standing.state, standing.note) == (state, note)


@pytest.mark.parametrize(
    ("error", "state", "note"),
    [
        ("Failed to import libspdl.", "missing", "no libraries of FFmpeg, which SPDL's decoder"),
        ("Failed to open the input", "failed", "RuntimeError: Failed to open the input"),
    ],
)
def test_a_decoder_without_its_libraries_is_missing(
    photos: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: str,
    state: str,
    note: str,
) -> None:
    (tmp_path / "spdl").mkdir()
    (tmp_path / "spdl" / "__init__.py").touch()
    (tmp_path / "spdl" / "io.py").write_text(
        f"def demux_image(path):\n    raise RuntimeError({error!r})"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    standing = Standing(contender_of("train", "spdl"))
    check(standing, training_on(photos), Seen([], {}))
    assert (standing.state, standing.note[: len(note)]) == (state, note)

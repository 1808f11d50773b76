"""The bench: right pixels, honest figures, and nothing left behind."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from matplotlib.figure import Figure
from PIL import Image

import raybatch
from raybatch.bench.contenders import CONTENDERS, PLAIN, SCALED, Contender
from raybatch.bench.draws import cells_of, difference, epochs_to_draw
from raybatch.bench.measures import Seen, Times, epochs_to_look_at, look_at, time_epochs
from raybatch.bench.measures import difference as difference_of_looks
from raybatch.bench.peers import ceiling
from raybatch.bench.plot import _draw
from raybatch.bench.processes import ProcessTree
from raybatch.bench.race import Race, Round, Standing, check, look
from raybatch.bench.recipes import EVAL, TRAIN
from raybatch.bench.report import report, timed
from raybatch.bench.work import Work
from raybatch.cli.bench_report import shown
from tests.cli import commands, wrong_contenders
from tests.drivers import alive, wait_for

NAMES = ("images_per_s", "first_batch_s", "cpu_s_per_1000_images", "peak_mb")
ROOT = Path(raybatch.__file__).parent.parent
BLOCKED = """raise ModuleNotFoundError("No module named '{0}'", name="{0}")"""


def work_on(photos: list[str]) -> Work:
    return Work(tuple(photos), (24, 32), batch_size=16, workers=2)


def training_on(photos: list[str]) -> Work:
    work = replace(work_on(photos), recipe=TRAIN)
    return replace(work, epochs=epochs_to_look_at(work))


def finished(work: Work, *contenders: Contender, rounds: int = 0) -> Race:
    race = Race(work, list(contenders), rounds)
    assert len(list(race.steps())) == len(race)
    return race


def contender_of(recipe: str, name: str) -> Contender:
    return next(each for each in CONTENDERS[recipe] if each.name == name)


def wrong(name: str) -> Contender:
    return Contender(name, name, "wrong", f"tests.cli.wrong_contenders:{name}")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary folder whose name is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="b") as folder:
        yield Path(folder)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "raybatch", "bench", *arguments]


def run(
    *arguments: str, status: int, program: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    start = command() if program is None else [sys.executable, "-c", program, "bench"]
    result = subprocess.run(
        [*start, *arguments],
        env={**os.environ, "COLUMNS": "80", "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
    )
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    return result


# The others of their kind differ little, and a start of Ray takes its time; each bench checks them
# all.
_LEFT_OUT = ("raybatch-actors", "ray-data-tasks", "ray-data-actors")
RIGHT = [
    pytest.param(recipe, each, id=f"{recipe}-{each.name}")
    for recipe, contenders in CONTENDERS.items()
    for each in [*contenders, SCALED]
    if each.name not in _LEFT_OUT
]


@pytest.fixture(scope="module")
def reference(photos: list[str]) -> Seen:
    """What the plain loop gives."""
    return look(PLAIN, work_on(photos))


@pytest.fixture(scope="module")
def draws(photos: list[str]) -> Seen:
    """What the plain loop draws of the training recipe."""
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
        ("other_filter", "differs", "40 of 40 images have other pixels than in the plain loop"),
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
    """Return what is wrong with a contender; it runs in this process, which is quick."""
    contender = wrong(name)
    try:
        with closing(getattr(wrong_contenders, name)(work)) as batches:
            return str(difference_of_looks(contender, look_at(batches, work), reference, work))
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("other_order", "the batches have other samples than the plain loop's"),
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


def test_one_that_fails_later_is_not_timed_and_the_others_go_on(photos: list[str]) -> None:
    race = finished(work_on(photos), wrong("half_an_epoch"), PLAIN, rounds=2)
    standing, plain = race.standings
    assert standing.note == "ValueError: an epoch ended after 16 of 40 images"
    assert (standing.state, standing.rounds) == ("failed", {})
    assert plain.state == "right"
    assert [plain.rounds[number].times.images for number in (0, 1)] == [40, 40]


def test_the_ceiling_has_whole_epochs_though_the_last_batch_takes_long(
    photos: list[str], tmp_path: Path
) -> None:
    large = tmp_path / "large.png"
    Image.new("RGB", (6000, 6000)).save(large, compress_level=1)
    work = Work((*photos[:2], str(large)), (24, 32), batch_size=2, workers=2, epochs=3)
    assert time_epochs(ceiling(work), 3, 2).images == 6


@pytest.mark.slow
def test_bench_prints_json_draws_a_plot_and_leaves_nothing(
    photos: list[str], scratch: Path, tmp_path: Path
) -> None:
    folder = str(Path(photos[0]).parent)
    options = ["--size", "24x32", "--batch-size", "16", "--workers", "2", "--images", "33"]
    counts = ["--rounds", "1", "--epochs", "1", "--peers", "ceiling,plain"]
    picture, page = tmp_path / "bench.png", tmp_path / "bench.html"
    files = ["--plot", str(picture), "--html", str(page)]
    result = run(folder, *options, *counts, "--json", *files, status=0, TMPDIR=str(scratch))
    figures = json.loads(result.stdout)
    assert figures["work"] == {
        "recipe": "stretch",
        "images": 33,
        "size": [24, 32],
        "batch_size": 16,
        "workers": 2,
        "epochs": 1,
        "rounds": 1,
    }
    assert figures["versions"]["raybatch"] == raybatch.__version__
    rows = {row["name"]: row for row in figures["contenders"]}
    assert list(rows) == ["raybatch-actors", "raybatch-threads", "plain", "ceiling"]
    for row in rows.values():
        assert (row["state"], row["same_pixels"], row["note"]) == ("right", True, "")
        (one,) = row["rounds"]
        assert one["images_per_s"] == row["images_per_s"] > 0
        assert row["start_s"] > 0
        assert row["cpu_s_per_1000_images"] >= 0
        assert row["peak_mb"] > 10
        assert list(row["ratios"]) == ["raybatch-actors", "raybatch-threads"]
    with Image.open(picture) as drawn:
        assert drawn.width > 1000
    assert "33 images → 32×24" in page.read_text()
    assert list(scratch.iterdir()) == []


def test_figures_are_medians_and_ratios_are_within_a_round() -> None:
    race = Race(Work(("x",), (1, 1), 1, 1), [CONTENDERS["stretch"][0], PLAIN], rounds=3)
    for standing, seconds in zip(race.standings, ([1.0, 2.0, 5.0], [4.0, 2.0]), strict=True):
        for number, ended in enumerate(seconds):
            times = Times(3.0, 0.5, images=100, began=0.0, ended=ended)
            standing.rounds[number] = Round(times, cpu_s=2 * ended, peak_bytes=10**6)
    raybatch_row, plain_row = report(race)["contenders"]
    assert [one["images_per_s"] for one in raybatch_row["rounds"]] == [100, 50, 20]
    assert raybatch_row["images_per_s"] == 50
    assert raybatch_row["cpu_s_per_1000_images"] == 40
    assert plain_row["images_per_s"] == 37.5
    assert plain_row["ratios"] == {"raybatch-actors": {"median": 2.5, "rounds": [4.0, 1.0]}}


def test_the_lead_over_the_fastest_of_the_others_is_told() -> None:
    names = ("raybatch-actors", "plain", "torch", "dali")
    own_first = [contender_of("train", name) for name in names]
    race = Race(Work(("x",), (1, 1), 1, 1, recipe=TRAIN), own_first, rounds=2)
    for standing, seconds in zip(race.standings, (1.0, 0.5, 4.0, 2.0), strict=True):
        for number in range(2):
            times = Times(3.0, 0.5, images=100, began=0.0, ended=seconds * (1 + number))
            standing.rounds[number] = Round(times, cpu_s=2.0, peak_bytes=10**6)
    figures = report(race)
    assert [row["same_pixels"] for row in figures["contenders"]] == [None] * 4
    printed = [line for line in shown(figures) if isinstance(line, str)]
    lead = (
        "raybatch (Ray actors): 2.00 (2.00–2.00) times the rate of DALI on the CPU, the fastest"
        " other library."
    )
    assert lead in printed
    assert any(line.startswith("Pixels are not compared") for line in printed)


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


def test_the_fastest_is_drawn_on_top() -> None:
    rows = [
        {
            "title": title,
            "same_pixels": True,
            "peer": title,
            "rounds": [],
            **dict.fromkeys(NAMES, rate),
        }
        for title, rate in (("slow", 1.0), ("fast", 3.0), ("middling", 2.0))
    ]
    panels = Figure().subplots(1, len(NAMES))
    _draw(timed({"contenders": rows}), panels)
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels == ["slow", "middling", "fast"]  # from the bottom


def test_cpu_time_of_processes_that_nobody_waited_for_is_counted() -> None:
    ended = "import time; t = time.process_time()\nwhile time.process_time() < t + 0.7: pass"
    program = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", {ended!r}]).pid
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    tree, psutil_process = ProcessTree(process.pid), psutil.Process(process.pid)
    wait_for(lambda: tree.cpu_seconds() > 0.5, "the child's time", 30)
    wait_for(lambda: not psutil.Process(process.pid).children(), "the child's end", 30)
    assert tree.cpu_seconds() > 0.5
    assert tree.memory_bytes() > 10**6
    tree.end()
    process.wait(30)
    assert not alive([psutil_process])


@pytest.mark.slow
def test_bench_prints_a_table_of_made_pictures(scratch: Path) -> None:
    program = """
from raybatch.cli import main
from raybatch.bench.contenders import CONTENDERS, Contender
CONTENDERS["stretch"].pop(0)  # Ray actors take their time to start
CONTENDERS["stretch"].append(Contender("x", "X", "plain", "tests.cli.wrong_contenders:other_filter"))
CONTENDERS["stretch"].append(Contender("y", "Y", "plain", "tests.cli.wrong_contenders:raising"))
main()
"""
    options = ["--images", "40", "--size", "16", "--rounds", "1", "--peers", "plain"]
    result = run(*options, status=1, program=program, TMPDIR=str(scratch))
    assert "40 images → 16×16" in result.stdout
    assert "plain loop" in result.stdout
    assert "too short for a comparison" in result.stdout
    assert "X: differs: 40 of 40 images have other pixels" in result.stdout
    assert "Y: failed: ZeroDivisionError: second batch" in result.stdout
    assert "\x1b" not in result.stdout
    assert list(scratch.iterdir()) == []


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


@pytest.mark.slow
def test_bench_trains(photos: list[str], scratch: Path, tmp_path: Path) -> None:
    folder, page = str(Path(photos[0]).parent), tmp_path / "bench.html"
    options = ["--recipe", "train", "--size", "24x32", "--workers", "2", "--rounds", "1"]
    peers = ["--peers", "plain,torch", "--decode", "scaled", "--html", str(page)]
    result = run(folder, *options, *peers, "--json", status=0, TMPDIR=str(scratch))
    figures = json.loads(result.stdout)
    assert figures["work"]["recipe"] == "train"
    rows = {row["name"]: row for row in figures["contenders"]}
    own = ["raybatch-actors", "raybatch-threads", "raybatch-bytes"]
    assert list(rows) == [*own, "plain", "torch", "raybatch-scaled"]
    for row in rows.values():
        assert (row["state"], row["same_pixels"], row["note"]) == ("right", None, "")
        assert row["images_per_s"] > 0
    assert "40 images → random parts at 32×24" in page.read_text()
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "running"),
    [(signal.SIGINT, "raylet"), (signal.SIGTERM, "python"), (signal.SIGKILL, "raylet")],
)
def test_an_end_at_any_time_leaves_no_process_and_no_file(
    number: signal.Signals, running: str, photos: list[str], scratch: Path
) -> None:
    arguments = command(str(Path(photos[0]).parent), "--peers", "plain", "--epochs", "1000")
    env = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen(arguments, env=env, stdout=subprocess.DEVNULL)
    below: list[psutil.Process] = []

    def is_up() -> bool:
        below[:] = alive(psutil.Process(process.pid).children(recursive=True))
        return any(running in " ".join(each.cmdline()) for each in below)

    with process:
        wait_for(is_up, running, 60)
        process.send_signal(number)
        wait_for(lambda: process.poll() is not None, "the end", 30)
    wait_for(lambda: not alive(below), "no process below", 30)
    if number != signal.SIGKILL:
        assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "torch,tourch"], "'tourch' is not one of plain, ceiling, torch, ray-data"),
        (
            ["--recipe", "train", "--peers", "tourch"],
            "is not one of plain, ceiling, torch, torchvision",
        ),
        (["--peers", "dali", "--recipe", "train", "nowhere"], "nowhere"),
        (["--peers", "dali"], "'dali' is not one of plain"),
        (["--recipe", "tain"], "'tain' is not one of 'stretch', 'train', 'eval'"),
        (["--rounds", "0"], "--rounds"),
        (["--scale-margin", "0.5"], "--scale-margin"),
        (["nowhere"], "nowhere"),
        (["--plot", "nowhere/bench.png"], "there is no directory 'nowhere'"),
        (["--html", "nowhere/bench.html"], "there is no directory 'nowhere'"),
        (["--plot", "bench.xyz"], "'bench.xyz' must end in one of the suffixes"),
    ],
)
def test_mistakes_are_told(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert message in commands.run("bench", *arguments, folder=tmp_path, status=2).stderr


def test_a_folder_without_images_or_with_a_broken_one_cannot_be_run(tmp_path: Path) -> None:
    assert "no image files below" in run(str(tmp_path), status=2).stderr
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    assert "bad.jpg" in run(str(tmp_path), "--peers", "plain", status=2).stderr


@pytest.mark.parametrize(
    ("module", "option", "extra"),
    [
        ("psutil", [], "bench"),
        ("matplotlib", ["--plot", "x"], "bench"),
        ("matplotlib", ["--html", "x"], "html"),
        ("jinja2", ["--html", "x"], "html"),
    ],
)
def test_a_missing_tool_is_named_before_anything_is_run(
    module: str,
    option: list[str],
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    stderr = commands.run("bench", *option, folder=tmp_path, status=2).stderr
    assert f"this needs {module}: pip install 'raybatch[{extra}]'" in stderr


def test_the_command_line_loads_no_peer() -> None:
    names = ("ray", "torch", "grain", "spdl", "datasets", "matplotlib", "psutil", "jinja2")
    program = f"import raybatch.cli, sys; print([n for n in {names} if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def test_the_first_epoch_is_not_timed_and_the_others_are_one_stretch() -> None:
    now = [100.0]

    def batches(waits: list[float]) -> Iterator[tuple[Any, Any]]:
        for wait in waits:
            now[0] += wait
            yield np.zeros((5, 1, 1, 3), np.uint8), range(5)

    warm_up, one, two = [7.0, 9.0], [0.5, 1.0], [1.5, 2.0]
    times = time_epochs(batches(warm_up + one + two), 10, 2, clock=lambda: now[0])
    assert (times.start_s, times.first_batch_s) == (7.0, 1.0)
    assert (times.images, times.began, times.ended) == (20, 116.0, 121.0)
    assert times.images_per_s == 4.0
    with pytest.raises(ValueError, match="an epoch ended after 5 of 10 images"):
        time_epochs(batches([1.0, 1.0, 1.0]), 10, 1, clock=lambda: now[0])
    with pytest.raises(ValueError, match="an epoch had 15 images, not 12"):
        time_epochs(batches([1.0, 1.0, 1.0]), 12, 1, clock=lambda: now[0])

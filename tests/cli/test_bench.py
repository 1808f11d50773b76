"""The figures of a bench: how they are timed, summarised and drawn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from matplotlib.figure import Figure
from PIL import Image

from raybatch.bench.contenders import CONTENDERS, PLAIN
from raybatch.bench.measures import Times, time_epochs
from raybatch.bench.peers import ceiling
from raybatch.bench.plot import _draw
from raybatch.bench.processes import ProcessTree
from raybatch.bench.race import Race, Round
from raybatch.bench.recipes import TRAIN
from raybatch.bench.report import report, timed
from raybatch.bench.work import Work
from raybatch.cli.bench_report import _subject, shown
from tests.cli.bench_work import contender_of, finished, work_on, wrong
from tests.drivers import alive, wait_for

NAMES = ("images_per_s", "first_batch_s", "cpu_s_per_1000_images", "peak_mb")


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
    assert labels == ["slow", "middling", "fast"]  # from the bottom up


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


def test_one_is_not_told_as_many() -> None:
    work = {"images": 1, "size": [9, 8], "recipe": "stretch", "batch_size": 1, "workers": 1}
    one = _subject({"work": {**work, "rounds": 1}, "machine": {"cpus": 1}})
    assert one.startswith("1 image → ")
    assert one.endswith(", batches of 1, 1 worker, 1 CPU. Median and range of 1 round")

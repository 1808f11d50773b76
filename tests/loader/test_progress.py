"""`Loader(progress=True)` shows one line while an epoch runs, and nothing else."""

from __future__ import annotations

import gc
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.loader.progress import ProgressLine
from raybatch.pools.watching import Figures

LOADING = """
import sys, threading, time
import numpy as np
import raybatch as rb

class Paced:
    def __len__(self): return 40
    def __getitem__(self, index):
        time.sleep(0.02)
        return np.zeros((np.size(index), 3))

source = rb.ArrayDataSource([Paced()])
loader = rb.Loader(source, 2, pool=rb.ThreadPool(1), progress=True)
"""
CLEARED = "\x1b[?25h\r\x1b[1A\x1b[2K"  # show the cursor, go up to the line, erase it


def on_terminal(program: str, status: int = 0, stdout: Any = None) -> str:
    """Return the output of `program` on a terminal of 120 columns."""
    control, terminal = pty.openpty()
    env = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    command = [sys.executable, "-c", LOADING + program]
    out = terminal if stdout is None else stdout
    process = subprocess.Popen(command, stdout=out, stderr=terminal, env=env)
    os.close(terminal)
    seen = b""
    try:
        while more := os.read(control, 4096):
            seen += more
    except OSError:  # the program has ended
        pass
    os.close(control)
    assert process.wait() == status, seen.decode()
    return seen.decode()


def lines(seen: str, epoch: int) -> list[re.Match[str]]:
    form = (
        rf"epoch {epoch}: (\d+) of 20 batches, (\d+) images/s, waited (\d+\.\d) s \((\d+)%\), "
        r"(\d) of (\d) made ahead"
    )
    return list(re.finditer(form, seen))


def test_a_terminal_shows_one_line_that_is_gone_after_the_epoch() -> None:
    seen = on_terminal("for x in loader: pass\nprint('after')\nfor x in loader: pass\n")
    first, rest = seen.split("after\r\n")
    assert first.endswith(CLEARED)
    assert rest.endswith(CLEARED)
    assert [len(lines(first, epoch)) > 1 for epoch in (0, 1)] == [True, False]
    assert [len(lines(rest, epoch)) > 1 for epoch in (0, 1)] == [False, True]
    assert "\n" not in first.replace("\r\n\x1b[?25h", "")  # all output is on one line
    shown = [[int(group) for group in line.groups()[:2]] for line in lines(first, 0)]
    assert shown[0] == [0, 0]
    batches = [batch for batch, _ in shown]
    assert batches == sorted(batches)
    assert 0 < batches[-1] <= 20
    assert 10 < shown[-1][1] < 1000  # nearly 100 on an idle machine
    assert {line[6] for line in lines(first, 0)[1:]} == {"4"}


@pytest.mark.parametrize(
    "leaving",
    [
        "for x in loader: break",
        "try:\n    for x in loader: 1 / 0\nexcept ArithmeticError: pass",
        "with loader:\n    iterator = iter(loader); next(iterator)",
        "iterator = iter(loader); next(iterator); loader.set_epoch(0)",
        "iterator = iter(loader); next(iterator); del iterator",
        "next(iter(loader)); del loader",
    ],
)
def test_however_the_loop_is_left_the_line_is_gone(leaving: str) -> None:
    drawing = "[t for t in threading.enumerate() if type(t).__module__.startswith('rich')]"
    seen = on_terminal(f"{leaving}\nprint('after')\nprint({drawing})\n")
    first, rest = seen.split("after\r\n")
    assert lines(first, 0)
    assert first.endswith(CLEARED)
    assert rest == "[]\r\n"  # no thread is left that could draw the line again


def test_an_error_that_ends_the_program_leaves_the_terminal_as_it_was() -> None:
    seen = on_terminal("for x in loader: 1 / 0\n", status=1)
    assert "ZeroDivisionError" in seen
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")


def test_what_the_loop_prints_is_kept() -> None:
    seen = on_terminal("for n, x in enumerate(loader): print(f'number {n}.')\n")
    assert re.findall(r"number (\d+)\.\r\n", seen) == [str(number) for number in range(20)]
    assert seen.endswith(CLEARED)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as file:
        assert file.stdout is not None
        seen = on_terminal("for x in loader: print('a')\n", stdout=file.stdin)
        file.stdin.close()  # type: ignore[union-attr]
        assert file.stdout.read() == b"a\n" * 20
    assert "a\r\n" not in seen


class Clock:
    """A clock that advances only when a test changes `now`."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_where_there_is_no_terminal_it_is_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "raybatch")
    with rb.Loader(rb.ArrayDataSource([np.arange(400)]), 4, progress=True, name="train") as loader:
        (line,) = loader._watch._watchers
        assert isinstance(line, ProgressLine)
        assert line.every_s == 30
        loader._watch._clock = line._clock = clock = Clock()
        loader._counter._clock = clock
        for _ in loader:
            clock.now += 1
    records: list[Any] = [record for record in caplog.records if "made ahead" in record.message]
    assert [record.batches for record in records] == [30, 60, 90]
    assert {record.images_per_s for record in records[1:]} == {4.0}
    assert {(record.loader, record.epoch, record.num_batches) for record in records} == {
        ("train", 0, 100)
    }
    assert records[0].message.startswith("train: epoch 0: 30 of 100 batches, 4 images/s, waited")
    assert capfd.readouterr() == ("", "")


class Gate:
    """An array-like that waits for `opened` before every batch but the first."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: Any) -> Any:
        if np.max(index) >= 4:
            assert self.opened.wait(30)
        return np.asarray(index)


def test_it_goes_on_telling_while_the_loop_waits() -> None:
    gate = Gate()

    class Told:
        """A watcher that opens the gate once the loop has waited for half a second."""

        every_s = 0.05

        def begin(self, epoch: int, num_batches: Any, figures: Figures) -> None:
            self.num_batches = num_batches()

        def show(self, figures: Figures) -> None:
            if figures.waited_s > 0.5:
                gate.opened.set()

        def end(self, figures: Figures) -> None:
            self.last = figures

    recovery = rb.Recovery(hedge_after=0.1)
    with rb.Loader(
        rb.ArrayDataSource([gate]), 4, pool=rb.ThreadPool(1), recovery=recovery
    ) as loader:
        told = Told()
        loader._watch._watchers = [told]
        began = time.perf_counter()
        assert len(list(loader)) == told.num_batches == 2
        seconds = time.perf_counter() - began
        assert 0.5 < loader.stats().waited_s == told.last.waited_s <= seconds


def test_it_counts_from_where_a_resumed_epoch_goes_on() -> None:
    loader = rb.Loader(rb.ArrayDataSource([np.arange(40)]), 4)
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    resumed = rb.Loader(rb.ArrayDataSource([np.arange(40)]), 2)
    resumed.load_state_dict(loader.state_dict())
    assert num_batches_left(resumed) == 14 == len(list(resumed))
    assert num_batches_left(resumed) == 20


def num_batches_left(loader: rb.Loader) -> int | None:
    return loader._plan.num_batches_left(loader._course.begin)


def test_a_loader_that_shows_progress_is_gone_when_it_is_let_go_of() -> None:
    gc.collect()
    gc.disable()
    try:
        loader = rb.Loader(rb.ArrayDataSource([np.arange(40)]), 4, progress=True)
        next(iter(loader))
        counter = loader._counter
        holders = len(gc.get_referrers(counter))
        del loader
        assert len(gc.get_referrers(counter)) < holders
    finally:
        gc.enable()


def test_without_progress_rich_is_not_loaded() -> None:
    program = (
        LOADING.replace(", progress=True", "")
        + "list(loader)\nprint([name for name in ('rich', 'IPython') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_notebook_shows_its_widget(monkeypatch: pytest.MonkeyPatch) -> None:
    widgets = pytest.importorskip("ipywidgets")
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    shown: list[Any] = []
    monkeypatch.setattr("raybatch.loader.notebook_line.display", shown.append)
    with rb.Loader(rb.ArrayDataSource([np.arange(40)]), 4, progress=True) as loader:
        for _ in loader:
            assert isinstance(shown[0], widgets.Label)
            assert "epoch 0: 0 of 10 batches" in shown[0].value
            assert shown[0].comm is not None
        assert shown[0].comm is None  # the widget is closed
    assert len(shown) == 1


def test_tqdm_shows_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    tqdm = pytest.importorskip("tqdm").tqdm
    with rb.Loader(rb.ArrayDataSource([np.arange(40)]), 16) as loader:
        bar = tqdm(loader)
        assert bar.total == 3
        assert [len(x) for (x,) in bar] == [16, 16, 8]
    assert "3/3" in capsys.readouterr().err

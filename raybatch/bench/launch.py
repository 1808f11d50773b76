"""Runs a contender in a fresh process, and leaves nothing of it behind."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from raybatch.bench.contenders import Contender
from raybatch.bench.processes import PAUSE_S, ProcessTree, Usage
from raybatch.bench.work import Work
from raybatch.errors import RaybatchError

# After it has written its result, the process gets this many seconds to end.
_CLOSING_S = 10.0
_SHOWN_LINES = 20


class RunError(RaybatchError, RuntimeError):
    """A contender failed; `log` is the end of its process's output."""

    def __init__(self, reason: str, log: str) -> None:
        super().__init__(reason)
        self.log = log

    def __reduce__(self) -> tuple[type[RunError], tuple[str, str]]:
        return type(self), (str(self), self.log)


def run(contender: Contender, work: Work, *, look: bool) -> tuple[dict[str, Any], Usage]:
    """Let `contender` do `work`; with `look` check its pixels, otherwise time it.

    Return the result of `one_run`, and the resources that its process and children used. RunError
    if it fails. All its temporary files are in one folder, which is removed, and the processes that
    it leaves are killed.
    """
    with tempfile.TemporaryDirectory(prefix="raybatch-") as name:
        folder = Path(name)
        request, result = folder / "request", folder / "result"
        request.write_bytes(pickle.dumps((contender, work, look)))
        usage = _run_process(folder, request, result)
        log = _last_lines(folder / "log.txt")
        if not result.exists():
            raise RunError("its process ended before it had finished", log)
        outcome = pickle.loads(result.read_bytes())
        if "failed" in outcome:
            raise RunError(outcome["failed"], log)
        return outcome, usage


def _run_process(folder: Path, request: Path, result: Path) -> Usage:
    """Run the process until it ends, and return the resources that it used."""
    with (
        (folder / "log.txt").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "raybatch.bench.one_run", request, result],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=_environment(folder),
            start_new_session=True,  # so that Ctrl-C reaches it only through this process
        ) as process,
    ):
        tree = ProcessTree(process.pid)
        try:
            return _watch(process, tree, result)
        finally:
            tree.end()


def _watch(process: subprocess.Popen[bytes], tree: ProcessTree, result: Path) -> Usage:
    usage, closes_by = Usage(tree), float("inf")
    while process.poll() is None and time.monotonic() < closes_by:
        usage.sample()
        if result.exists():
            closes_by = min(closes_by, time.monotonic() + _CLOSING_S)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PAUSE_S)
    return usage


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {
        **kept,
        "TMPDIR": str(folder),
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HOME": str(folder / "huggingface"),
        "HF_HUB_OFFLINE": "1",
    }


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return "\n".join(lines[-_SHOWN_LINES:])

"""Running a contender in a fresh process, and leaving nothing of it behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raybatch.bench.contenders import Contender
from raybatch.bench.processes import ProcessTree
from raybatch.bench.usage import PAUSE_S, Usage
from raybatch.bench.work import Work
from raybatch.errors import RaybatchError

# How long the process may take to end after its result.
_CLOSING_S = 10.0
_SHOWN_LINES = 20


class RunError(RaybatchError, RuntimeError):
    """A contender failed; `log` is the end of what its process printed."""

    def __init__(self, reason: str, log: str) -> None:
        super().__init__(reason)
        self.log = log

    def __reduce__(self) -> tuple[type[RunError], tuple[str, str]]:
        return type(self), (str(self), self.log)


@dataclass(frozen=True)
class Outcome:
    """What a contender's process wrote, and what it and its children used."""

    result: dict[str, Any]
    usage: Usage


def run(contender: Contender, work: Work, *, look: bool) -> Outcome:
    """Let `contender` do `work`; with `look` its pixels are looked at, else its time is taken.

    RunError if it fails. All its temporary files are in one folder, which is removed, and whatever process it
    leaves is killed.
    """
    with tempfile.TemporaryDirectory(prefix="raybatch-") as name:
        folder = Path(name)
        request = {
            "function": contender.function,
            "needs": contender.needs,
            "work": asdict(work),
            "look": look,
        }
        (folder / "request.json").write_text(json.dumps(request))
        usage = _run_process(folder)
        result, log = folder / "result.json", _last_lines(folder / "log.txt")
        if not result.exists():
            raise RunError("its process ended before it was done", log)
        outcome = Outcome(json.loads(result.read_text()), usage)
        if "failed" in outcome.result:
            raise RunError(outcome.result["failed"], log)
        return outcome


def _run_process(folder: Path) -> Usage:
    """Run the process until it ends, and return what it used."""
    command = [sys.executable, "-m", "raybatch.bench.one_run"]
    files = [str(folder / "request.json"), str(folder / "result.json")]
    with (
        (folder / "log.txt").open("wb") as log,
        subprocess.Popen(
            command + files,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=_environment(folder),
            start_new_session=True,  # so that Ctrl-C reaches it by way of this process only
        ) as process,
    ):
        tree = ProcessTree(process.pid)
        try:
            return _watch(process, tree, folder / "result.json")
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

"""Running a contender in a fresh process, and leaving nothing of it behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raybatch.bench.contenders import Contender
from raybatch.bench.processes import ProcessTree
from raybatch.bench.work import Work
from raybatch.errors import RaybatchError

# Sampling memory must not take more than a fiftieth of a core.
_SHORTEST_PAUSE_S = 0.1
_PAUSE_PER_SAMPLE = 50
# How long a contender may take to close after it has given its result.
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
    """What a contender's process wrote, and the most memory that it and its children had at a time."""

    result: dict[str, Any]
    peak_bytes: int


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
        peak_bytes = _run_process(folder)
        result, log = folder / "result.json", _last_lines(folder / "log.txt")
        if not result.exists():
            raise RunError("its process ended before it was done", log)
        outcome = Outcome(json.loads(result.read_text()), peak_bytes)
        if "failed" in outcome.result:
            raise RunError(outcome.result["failed"], log)
        return outcome


def _run_process(folder: Path) -> int:
    """Run the process until it ends, and return its peak of memory."""
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


def _watch(process: subprocess.Popen[bytes], tree: ProcessTree, result: Path) -> int:
    peak_bytes, closes_by = 0, float("inf")
    while process.poll() is None and time.monotonic() < closes_by:
        began = time.monotonic()
        peak_bytes = max(peak_bytes, tree.memory_bytes())
        if result.exists():
            closes_by = min(closes_by, began + _CLOSING_S)
        pause_s = max(_SHORTEST_PAUSE_S, _PAUSE_PER_SAMPLE * (time.monotonic() - began))
        try:
            process.wait(pause_s)
        except subprocess.TimeoutExpired:
            continue
    return peak_bytes


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

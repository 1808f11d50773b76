"""One contender in this process: `python -m raybatch.bench.one_run REQUEST RESULT`, two JSON files.

The request holds the contender's function, what it needs, the work, and whether to look at the pixels rather
than at the clock. The process ends when its standard input is closed, so it does not outlive who asked.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raybatch.bench.pixel_check import look_at
from raybatch.bench.stopwatch import time_epochs
from raybatch.bench.usage import PAUSE_S
from raybatch.bench.work import Work

# Without a batch for so long, a contender is stuck.
_STUCK_S = 300


def main() -> None:
    """Do what the request says, and write the result."""
    request_path, result_path = map(Path, sys.argv[1:])
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    try:
        result = _run(json.loads(request_path.read_text()))
    except Exception as error:
        traceback.print_exc()
        result = {"failed": f"{type(error).__name__}: {_last_line(str(error))}"}
    whole = result_path.with_suffix(".part")
    whole.write_text(json.dumps(result))
    whole.rename(result_path)


def _run(request: dict[str, Any]) -> dict[str, Any]:
    module, _, function = request["function"].partition(":")
    try:
        contend = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in request["needs"]:
            return {"missing": error.name}
        raise
    work = Work.from_json(request["work"])
    with closing(contend(work)) as batches:
        if request["look"]:
            seen = look_at(_watched(batches), work)
            return {"seen": asdict(seen), "versions": {n: version(n) for n in request["needs"]}}
        times = time_epochs(_watched(batches), len(work.paths), work.epochs - 1)
        time.sleep(2 * PAUSE_S)  # so that the processes are seen once more before they end
        return {"times": asdict(times)}


def _watched(batches: Iterator[Any]) -> Iterator[Any]:
    """Give `batches`; if one does not come, print what all threads do, and end the process."""
    faulthandler.dump_traceback_later(_STUCK_S, exit=True)
    for batch in batches:
        yield batch
        faulthandler.dump_traceback_later(_STUCK_S, exit=True)
    faulthandler.cancel_dump_traceback_later()


def _last_line(text: str) -> str:
    return ([line for line in text.splitlines() if line.strip()] or [""])[-1].strip()


def _end_with_standard_input() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

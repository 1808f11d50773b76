"""One contender in this process: `python -m raybatch.bench.one_run REQUEST RESULT`.

REQUEST and RESULT are pickled files. The request holds the contender, the work, and whether to
check pixels or to measure times. The process ends when its standard input is closed, so it does not
outlive its parent.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from raybatch.bench.contenders import AbsentError, Contender
from raybatch.bench.measures import look_at, time_epochs
from raybatch.bench.processes import PAUSE_S
from raybatch.bench.work import Batches, Work
from raybatch.stores.aside import written_aside

# A contender is stuck if no batch comes for this long.
_STUCK_S = 300


def main() -> None:
    """Carry out the request and write the result.

    The result is a dict with `seen` and `versions`, or `times`, or `missing`, or `failed`.
    """
    request_path, result_path = map(Path, sys.argv[1:])
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    contender, work, look = pickle.loads(request_path.read_bytes())
    try:
        result = _run(contender, work, look)
    except Exception as error:
        if (missing := _missing(contender, error)) is not None:
            result = {"missing": missing}
        else:
            traceback.print_exc()
            result = {"failed": f"{type(error).__name__}: {_last_line(str(error))}"}
    with written_aside(result_path) as aside:
        aside.write_bytes(pickle.dumps(result))


def _run(contender: Contender, work: Work, look: bool) -> dict[str, Any]:
    module, _, function = contender.function.partition(":")
    contend = getattr(importlib.import_module(module), function)
    with closing(contend(work)) as batches:
        if look:
            seen = look_at(_watched(batches), work)
            return {"seen": seen, "versions": {name: _version(name) for name in contender.needs}}
        times = time_epochs(_watched(batches), len(work.paths), work.epochs - 1)
        time.sleep(2 * PAUSE_S)  # so that the processes are sampled once more before they end
        return {"times": times}


def _missing(contender: Contender, error: Exception) -> str | None:
    """Return what `contender` lacks and how to get it; None if `error` has another cause."""
    if isinstance(error, AbsentError):
        return str(error)
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    top = name.partition(".")[0]
    if top and top in [need.partition(".")[0] for need in contender.needs]:
        return f"no module {name}: pip install '{contender.package}'"
    return None


def _version(module: str) -> str:
    """Return the version of the distribution of `module`, or its own `__version__`."""
    try:
        return version(module)
    except PackageNotFoundError:
        return str(importlib.import_module(module).__version__)


def _watched(batches: Batches) -> Batches:
    """Iterate over `batches`; if none comes, print the stack of each thread and end the process."""
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

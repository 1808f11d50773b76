"""Runs commands as a user types them: quickly in this process, or in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from raybatch.cli import main

WIDE = {"COLUMNS": "120"}


def run(*arguments: str, folder: Path, status: int = 0) -> Result:
    """Run a command in `folder`, in this process and with the Ray of this process.

    An exception or another exit status fails the test.
    """
    before, places = Path.cwd(), sys.path.copy()
    os.chdir(folder)
    try:
        runner = CliRunner(env={**WIDE, "RAY_ADDRESS": None})
        done = runner.invoke(main, arguments, prog_name="raybatch", catch_exceptions=False)
    finally:
        os.chdir(before)
        sys.path[:] = places
    assert done.exit_code == status, done.stderr
    return done


def run_alone(
    *arguments: str, folder: Path, status: int = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, in its own process.

    The process starts its own Ray if it needs one.
    """
    clean = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-m", "raybatch", *arguments],
        cwd=folder,
        env={**clean, **WIDE, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    return done

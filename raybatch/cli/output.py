"""What a command shows: its figures, as JSON or as text, and progress bars."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from raybatch.sources.batch import Batch
from raybatch.sources.ledger import BadSampleLedger


class Output:
    """Prints figures to standard output; with `as_json` as JSON, and all else to standard error."""

    def __init__(self, as_json: bool) -> None:
        # Bytes of a file name that are not UTF-8 are escaped, as standard error does by default.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        self.console = Console(stderr=as_json)
        self.as_json = as_json

    def show(self, figures: Any, shown: Iterable[RenderableType]) -> None:
        """Write `figures` as JSON, or print the parts of `shown`.

        Lines of a `Text` are not wrapped.
        """
        if self.as_json:
            click.echo(json.dumps(figures, indent=2))
            return
        for part in shown:
            self.console.print(part, soft_wrap=isinstance(part, Text))

    def batches(self, what: str, batches: Iterable[Batch], images: int) -> Iterator[Batch]:
        """Iterate over `batches`, with a progress bar of `images` images if this is a terminal."""
        with self._progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images, {task.fields[rate]}/s"),
            TimeRemainingColumn(),
        ) as progress:
            task = progress.add_task(what, total=images, rate="…")
            for batch in batches:
                progress.advance(task, len(batch[0]))
                speed = progress.tasks[0].speed
                progress.update(task, rate="…" if speed is None else f"{speed:.0f}")
                yield batch

    def steps(self, steps: Iterable[str], count: int) -> None:
        """Run the `count` `steps`, with a progress bar if this is a terminal.

        Each step yields its title.
        """
        with self._progress(
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
        ) as progress:
            task = progress.add_task("", total=count)
            for done, what in enumerate(steps):
                progress.update(task, completed=done, description=what)
            progress.update(task, completed=count, description="")

    def _progress(self, *columns: ProgressColumn) -> Progress:
        return Progress(*columns, console=self.console, disable=not self.console.is_terminal)


def listed(bad: BadSampleLedger, *fields: str) -> list[dict[str, Any]]:
    """Return the `fields` of each bad sample, for JSON."""
    return [{field: getattr(sample, field) for field in fields} for sample in bad]

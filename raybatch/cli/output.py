"""What a command shows: its figures, as JSON or as text, and bars of how far it is."""

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

from raybatch.sources import BadSampleLedger, Batch


class Output:
    """Shows figures on the standard output; with `as_json` they are JSON, and all else is on the standard error."""

    def __init__(self, as_json: bool) -> None:
        # A name that is no text is shown with an escape; the standard error does so by itself.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        self.console = Console(stderr=as_json)
        self._as_json = as_json

    def show(self, figures: Any, shown: Iterable[RenderableType]) -> None:
        """Write `figures` as JSON, or else print what is to be `shown` of them; a `Text` keeps its lines as they are."""
        if self._as_json:
            click.echo(json.dumps(figures, indent=2))
            return
        for part in shown:
            self.console.print(part, soft_wrap=isinstance(part, Text))

    def batches(self, what: str, batches: Iterable[Batch], images: int) -> Iterator[Batch]:
        """Iterate over `batches`, of `images` images in all, and show how many have come, on a terminal."""
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
        """Take the `steps`, of which there are `count`, and show what each says while it is done, on a terminal."""
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

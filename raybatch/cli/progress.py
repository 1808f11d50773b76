"""Progress bars, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from raybatch.sources import Batch


def with_progress(
    console: Console, what: str, batches: Iterable[Batch], images: int
) -> Iterator[Batch]:
    """Iterate over `batches`, of `images` images in all, and show how many have come, on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images, {task.fields[rate]}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=images, rate="…")
        for batch in batches:
            progress.advance(task, len(batch[0]))
            speed = progress.tasks[0].speed
            progress.update(task, rate="…" if speed is None else f"{speed:.0f}")
            yield batch


def with_steps(console: Console, steps: Iterable[str], count: int) -> None:
    """Take the `steps`, of which there are `count`, and show what each says while it is done."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=count)
        for done, what in enumerate(steps):
            progress.update(task, completed=done, description=what)
        progress.update(task, completed=count, description="")

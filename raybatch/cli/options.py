"""Options that commands share, and the errors that they turn into a line of text."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from raybatch.errors import RaybatchError

Command = TypeVar("Command", bound=Callable[..., Any])


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) for `224` or `HEIGHTxWIDTH`."""
    edges = text.lower().split("x")
    if len(edges) > 2 or not all(edge.isdecimal() and int(edge) > 0 for edge in edges):
        raise click.BadParameter(
            f"{text!r} is not an edge such as 224 or HEIGHTxWIDTH such as 240x320"
        )
    return int(edges[0]), int(edges[-1])


directory = click.Path(exists=True, file_okay=False, path_type=Path)

size = click.option(
    "--size",
    type=parse_size,
    metavar="EDGE|HxW",
    default="224",
    show_default=True,
    help="Pixels: one edge, or height and width.",
)
batch_size = click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Images a batch.",
)
actors = click.option(
    "--actors",
    type=click.IntRange(min=0),
    default=None,
    help="Ray actors that load; 0 loads in this process.  [default: one for each CPU]",
)


class CannotRunError(click.ClickException):
    """Ends a command with one line and the status of a usage error."""

    exit_code = 2


def report_errors_as(told: type[click.ClickException]) -> Callable[[Command], Command]:
    """Let what the user can mend end the command with one line and the status of `told`."""

    def decorated(command: Command) -> Command:
        @functools.wraps(command)
        def reporting(*args: Any, **kwargs: Any) -> Any:
            try:
                return command(*args, **kwargs)
            except (RaybatchError, OSError) as error:
                raise told(str(error)) from error

        return reporting  # type: ignore[return-value]

    return decorated


report_errors = report_errors_as(click.ClickException)

"""Options that commands share, and the errors that they turn into a line of text.

The status of a command: 0, done; 1, done, and something is wrong with the data; 2, not done.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from raybatch.errors import RaybatchError
from raybatch.image.reader import DECODES
from raybatch.image.scaling import FITS
from raybatch.sources import BadSampleLedger

Command = TypeVar("Command", bound=Callable[..., Any])

SOMETHING_BAD = 1
HTML_EXTRA = "raybatch[html]"


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) for `224` or `HEIGHTxWIDTH`."""
    edges = text.lower().split("x")
    if len(edges) > 2 or not all(edge.isdecimal() and int(edge) > 0 for edge in edges):
        raise click.BadParameter(
            f"{text!r} is not an edge such as 224 or HEIGHTxWIDTH such as 240x320"
        )
    return int(edges[0]), int(edges[-1])


directory = click.Path(exists=True, file_okay=False)


class OutFile(click.Path):
    """A file that the command writes when it is done, so that its folder must be there from the start."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(
                f"{os.fspath(path)!r}: there is no directory {os.fspath(path.parent)!r}", param, ctx
            )
        return path


def folder(root: str) -> str:
    """Return the path of a folder that is there, or a URL."""
    if "://" not in root and not os.path.isdir(root):
        raise click.BadParameter(f"{root!r} is no directory")
    return root


def sample_list(path: str) -> BadSampleLedger:
    """Return the ledger in the file `path`."""
    try:
        return BadSampleLedger.load(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise click.BadParameter(f"{path!r} is no list of images to leave out: {error}") from error


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


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    return name, value


def _each_once(
    context: click.Context, option: click.Parameter, pairs: tuple[tuple[str, Any], ...]
) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name!r} is given more than once")
    return dict(pairs)


def _amount(text: str) -> tuple[str, float]:
    name, value = _pair(text)
    try:
        amount = float(value)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise click.BadParameter(f"{text!r} is not NAME=AMOUNT, with an amount above 0")
    return name, amount


_PLACING = (
    click.option("--address", help="The Ray cluster to join, such as auto or HOST:PORT."),
    click.option(
        "--resource",
        "resources",
        type=_amount,
        multiple=True,
        callback=_each_once,
        metavar="NAME=AMOUNT",
        help="What each actor takes of a resource of its host, such as loader=0.001.",
    ),
    click.option(
        "--label",
        "labels",
        type=_pair,
        multiple=True,
        callback=_each_once,
        metavar="NAME=VALUE",
        help="A label that the hosts of the actors have, such as role=loader; !VALUE for all others, in(A,B) for "
        "either.",
    ),
)


def cluster(command: Command) -> Command:
    """Add the options that say where actors run; they arrive as `cluster`, arguments of a `RayActorPool`."""

    @functools.wraps(command)
    def placing(
        *args: Any,
        address: str | None,
        resources: dict[str, float],
        labels: dict[str, str],
        **kwargs: Any,
    ) -> Any:
        if kwargs.get("actors") == 0 and (address or resources or labels):
            raise click.UsageError("--actors 0 loads in this process, and takes no cluster")
        where = {"address": address, "resources": resources, "label_selector": labels}
        return command(*args, cluster=where, **kwargs)

    for option in reversed(_PLACING):
        placing = option(placing)
    return placing  # type: ignore[return-value]


shuffle = click.option(
    "--shuffle", type=click.IntRange(min=0), metavar="SEED", help="Shuffle with this seed."
)
exclude = click.option(
    "--exclude",
    type=sample_list,
    metavar="FILE",
    help="Leave out the images in this list, which `raybatch scan --exclude-list` wrote.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
io_threads = click.option(
    "--io-threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Files that an actor reads at the same time, for storage that makes it wait.",
)

html = click.option(
    "--html",
    "page_path",
    type=OutFile(),
    metavar="FILE",
    help="Write the report to this file too, as one page to look at and to send on.",
)

decode = click.option(
    "--decode",
    type=click.Choice(DECODES),
    default="exact",
    show_default=True,
    help="`scaled` is faster, and near the exact pixels.",
)
scale_margin = click.option(
    "--scale-margin",
    type=click.FloatRange(min=1),
    default=2.0,
    show_default=True,
    help="With --decode scaled, how much larger than --size an image stays when it is decoded.",
)

_READING = (
    click.option("--fit", type=click.Choice(FITS), default="stretch", show_default=True),
    decode,
    scale_margin,
    click.option("--exif-orientation", is_flag=True, help="Turn images the way they were taken."),
    io_threads,
)


def reading(command: Command) -> Command:
    """Add the options that say how an image is read; they arrive as keyword arguments of an accessor."""
    for option in reversed(_READING):
        command = option(command)
    return command


class CannotRunError(click.ClickException):
    """Ends a command with one line and the status of a usage error."""

    exit_code = 2


def check_installed(module: str, extra: str) -> None:
    """End the command with a line that names `extra` if `module` is not there."""
    if importlib.util.find_spec(module) is None:
        raise CannotRunError(f"this needs {module}: pip install '{extra}'")


def report_errors(command: Command) -> Command:
    """Let what the user can mend end the command with one line and the status 2."""

    @functools.wraps(command)
    def reporting(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (RaybatchError, OSError) as error:
            raise CannotRunError(str(error)) from error

    return reporting  # type: ignore[return-value]

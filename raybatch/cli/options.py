"""Options that commands share, and errors that become one line of text.

A command's status is 0 when done, 1 when done but the data has a fault, and 2 when not done.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from raybatch.cli.exclude_list import sample_list
from raybatch.cli.out_paths import OutFile
from raybatch.cli.output import Output
from raybatch.errors import FirstSampleError, RaybatchError, SampleReadError
from raybatch.faults import Fault, fault_of
from raybatch.image.augment.presets import PRESETS
from raybatch.image.augment.resize import FITS
from raybatch.image.reader import DECODES, TRUNCATED
from raybatch.pools.pool import WorkerPool

Command = TypeVar("Command", bound=Callable[..., Any])

SOMETHING_BAD = 1
MODES = ("RGB", "L", "RGBA", "LA", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16", "F")
# Each actor takes about 100 MB, and a third of a CPU second to start.
_MOST_ACTORS_A_CPU = 16
HTML_EXTRA = "raybatch[html]"
_FIND_UNREADABLE = (
    ". `raybatch scan IMAGES --exclude-list bad.parquet` finds all such images, and --exclude"
    " bad.parquet leaves them out"
)


class CannotRunError(click.ClickException):
    """Ends a command with one line and the status of a usage error."""

    exit_code = 2


def output(command: Command) -> Command:
    """Add the option --json, and pass an `Output` to the command.

    Errors that the user can fix end the command with status 2.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
    @functools.wraps(command)
    def reporting(*args: Any, as_json: bool, **kwargs: Any) -> Any:
        try:
            return command(*args, output=Output(as_json), **kwargs)
        except (RaybatchError, OSError) as error:
            cause = error.__cause__
            unread = isinstance(cause, SampleReadError) and fault_of(cause) is Fault.SAMPLE
            # No command has the argument that the message names.
            said = error.problem if isinstance(error, FirstSampleError) else str(error)
            raise CannotRunError(f"{said}{_FIND_UNREADABLE if unread else ''}") from error

    return reporting  # type: ignore[return-value]


def check_installed(module: str, extra: str) -> None:
    """Raise CannotRunError, naming `extra`, if `module` is not installed."""
    if importlib.util.find_spec(module) is None:
        raise CannotRunError(f"this needs {module}: pip install '{extra}'")


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) for `224` or `HEIGHTxWIDTH`."""
    edges = text.lower().split("x")
    if len(edges) > 2 or not all(edge.isdecimal() and int(edge) > 0 for edge in edges):
        raise click.BadParameter(
            f"{text!r} is neither an edge such as 224 nor HEIGHTxWIDTH such as 240x320"
        )
    return int(edges[0]), int(edges[-1])


@contextmanager
def every_write() -> Iterator[Callable[..., bool]]:
    """Give `write(fn, *args)`, which returns whether `fn` succeeded.

    If a write raises OSError, the others still run. At the end, the command ends with the errors.
    """
    failed: list[str] = []

    def write(fn: Callable[..., None], *args: Any) -> bool:
        try:
            fn(*args)
        except OSError as error:
            failed.append(str(error))
            return False
        return True

    yield write
    if failed:
        raise CannotRunError("; ".join(failed))


def count(
    name: str, what: str = "", default: int | None = None, least: int = 1
) -> Callable[[Command], Command]:
    """Return the option `name` for an integer of at least `least`; `what` is its help."""
    number, is_shown = click.IntRange(min=least), default is not None
    return click.option(
        name, type=number, metavar="INTEGER", default=default, show_default=is_shown, help=what
    )


def pixels(what: str, default: str | None) -> Callable[[Command], Command]:
    """Return the option --size for a height and a width; `what` is its help."""
    return click.option(
        "--size",
        type=parse_size,
        metavar="EDGE|HxW",
        default=default,
        show_default=default is not None,
        help=what,
    )


size = pixels(
    "Size in pixels: one edge, or height and width.  [default: 224, or as packed]", default=None
)
batch_size = count("--batch-size", "Images in a batch.", default=64)
shuffle = click.option(
    "--shuffle", type=click.IntRange(min=0), metavar="SEED", help="Shuffle, with this seed."
)


def shuffled(seed: int | None) -> dict[str, Any]:
    """Return the arguments of a loader for the value of --shuffle."""
    return {"shuffle": seed is not None, "seed": seed}


transform = click.option(
    "--transform",
    type=click.Choice(list(PRESETS)),
    help=(
        "Crop images to --size instead of stretching them: `train` takes a random part, flipped at"
        " random; `eval` takes the middle."
    ),
)
bad_samples = click.option(
    "--bad-samples",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="What to do about images that cannot be read: stop at the first, or leave them out.",
)


io_threads = count(
    "--io-threads",
    "Number of files that an actor reads at the same time; raise it if storage is slow to answer.",
    default=1,
)
decode = click.option(
    "--decode",
    type=click.Choice(DECODES),
    default="exact",
    show_default=True,
    help="`scaled` decodes JPEG files faster; its pixels are close to the exact ones.",
)
scale_margin = click.option(
    "--scale-margin",
    type=click.FloatRange(min=1),
    metavar="FLOAT",
    default=2.0,
    show_default=True,
    help="With --decode scaled, a decoded image is at least this many times as large as --size.",
)


def _page_path(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    if path is not None:
        check_installed("jinja2", HTML_EXTRA)
    return path


html = click.option(
    "--html",
    "page_path",
    type=OutFile(),
    callback=_page_path,
    metavar="FILE",
    help="Write the report to this file too, as one HTML page.",
)


def reading(command: Command) -> Command:
    """Add the options that say which images are read and how, as arguments of `labelled_source`."""
    for option in (
        io_threads,
        click.option(
            "--exif-orientation",
            is_flag=True,
            help="Turn images upright, as their EXIF orientation says.",
        ),
        scale_margin,
        decode,
        click.option(
            "--truncated",
            type=click.Choice(TRUNCATED),
            default="error",
            show_default=True,
            help=(
                "What to do about truncated files: `error` counts them as bad; `fill` makes the"
                " missing part grey or black."
            ),
        ),
        click.option(
            "--mode",
            type=click.Choice(MODES),
            default="RGB",
            show_default=True,
            help=(
                "Convert images to this mode of Pillow. L is grey; I;16 and F keep the values of"
                " images with more than 8 bits."
            ),
        ),
        click.option(
            "--fit",
            type=click.Choice(FITS),
            default="stretch",
            show_default=True,
            help=(
                "What to do with an image whose shape differs from --size: stretch it, crop it to"
                " its middle, or pad it with black."
            ),
        ),
        click.option(
            "--exclude",
            type=sample_list,
            metavar="FILE",
            help="Leave out the images in this list, which `raybatch scan --exclude-list` wrote.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class ActorOptions:
    """Ray actors that load images, and where they run.

    `actors` is their number: None for one per CPU, 0 for none. `address` names the Ray cluster.
    `resources` and `label_selector` choose its hosts.
    """

    actors: int | None
    address: str | None = None
    resources: dict[str, float] = field(default_factory=dict)
    label_selector: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.actors == 0 and (self.address or self.resources or self.label_selector):
            raise click.UsageError(
                "--actors 0 loads in this process: it cannot be used with --address, --resource or"
                " --label"
            )
        most = _MOST_ACTORS_A_CPU * len(os.sched_getaffinity(0))
        is_here = not (self.address or os.environ.get("RAY_ADDRESS"))
        if is_here and (self.actors or 0) > most:
            raise click.UsageError(
                f"--actors {self.actors} is too many: each actor is a process, and this machine can"
                f" have {most}, which is {_MOST_ACTORS_A_CPU} for each CPU. If actors wait for"
                " storage, raise --io-threads; to use a cluster, give --address"
            )

    @contextmanager
    def pool(self) -> Iterator[WorkerPool | None]:
        """Start a pool and give it when it is up; give None if there are no actors."""
        if self.actors == 0:
            yield None
            return
        from raybatch.pools.ray.actor_pool import RayActorPool  # loads ray

        try:
            pool = RayActorPool(
                self.actors,
                address=self.address,
                resources=self.resources,
                label_selector=self.label_selector,
            )
        except ValueError as error:  # Ray does not accept the resource or label.
            raise CannotRunError(str(error)) from error
        try:
            yield pool.wait_until_up()
        finally:
            pool.close()


def _pair(text: str, form: str = "NAME=VALUE") -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise click.BadParameter(f"{text!r} is not {form}")
    return name, value


def _amount(text: str) -> tuple[str, float]:
    name, value = _pair(text, "NAME=AMOUNT")
    try:
        amount = float(value)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise click.BadParameter(f"{text!r} is not NAME=AMOUNT, with an amount above 0")
    return name, amount


def _each_once(
    context: click.Context, option: click.Parameter, pairs: tuple[tuple[str, Any], ...]
) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name!r} is given more than once")
    return dict(pairs)


def _pairs(
    name: str, one: Callable[[str], tuple[str, Any]], metavar: str, what: str
) -> Callable[[Command], Command]:
    """Return the option `name`, which can be repeated. Its plural gets the values as a dict."""
    plural = f"{name.strip('-')}s"
    return click.option(
        name, plural, type=one, multiple=True, callback=_each_once, metavar=metavar, help=what
    )


def one_worker(command: Command) -> Command:
    """Add the options that say where one actor runs; the command gets them as `workers`."""

    @functools.wraps(command)
    def placing(
        *args: Any,
        address: str | None,
        resources: dict[str, float],
        labels: dict[str, str],
        actors: int | None = 1,
        **kwargs: Any,
    ) -> Any:
        return command(*args, workers=ActorOptions(actors, address, resources, labels), **kwargs)

    for option in (
        _pairs(
            "--label",
            _pair,
            "NAME=VALUE",
            "A label that an actor's host must have, such as role=loader. !VALUE means any other"
            " value, and in(A,B) means A or B.",
        ),
        _pairs(
            "--resource",
            _amount,
            "NAME=AMOUNT",
            "A resource that an actor's host must have, and the amount that each actor takes, such"
            " as loader=0.001.",
        ),
        click.option(
            "--address",
            help=(
                "The Ray cluster to join, such as auto or HOST:PORT.  [default: RAY_ADDRESS, or a"
                " Ray on this machine]"
            ),
        ),
    ):
        placing = option(placing)
    return placing  # type: ignore[return-value]


def workers(command: Command) -> Command:
    """Add the options for the number of actors and their place.

    The command gets them as `workers`.
    """
    option = count(
        "--actors",
        "Ray actors that load; 0 loads in this process.  [default: one for each CPU]",
        least=0,
    )
    return option(one_worker(command))

"""The options --cache and --cache-gb: images at URLs are fetched once."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from raybatch.cli.options import Command
from raybatch.cli.out_paths import out_folder
from raybatch.stores.disk_cache import DiskCache


def cache_options(command: Command) -> Command:
    """Add the options for a cache of remote images; the command gets a DiskCache as `cache`."""

    @functools.wraps(command)
    def caching(*args: Any, cache_folder: Path | None, cache_gb: float, **kwargs: Any) -> Any:
        kept = None if cache_folder is None else DiskCache(cache_folder, int(cache_gb * 1e9))
        return command(*args, cache=kept, **kwargs)

    for option in (
        click.option(
            "--cache-gb",
            type=click.FloatRange(min=0, min_open=True),
            metavar="GB",
            default=20.0,
            show_default=True,
            help="The most that --cache keeps on each host.",
        ),
        click.option(
            "--cache",
            "cache_folder",
            type=out_folder,
            metavar="DIR",
            help=(
                "Keep the bytes of images at URLs in this folder on each host, so that each is"
                " fetched once. Later commands use them too."
            ),
        ),
    ):
        caching = option(caching)
    return caching  # type: ignore[return-value]

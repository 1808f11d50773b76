"""The list of images to leave out that `raybatch scan --exclude-list` wrote."""

from __future__ import annotations

import os

import click

from raybatch.sources.ledger import BadSampleLedger


def sample_list(path: str) -> BadSampleLedger:
    """Return the ledger in the file `path`."""
    if not os.path.exists(path):
        raise click.BadParameter(
            f"there is no file {path!r}; `raybatch scan --exclude-list` writes one"
        )
    try:
        return BadSampleLedger.load(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise click.BadParameter(
            f"{path!r} is not a list of images to leave out: {error}"
        ) from error

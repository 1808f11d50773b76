"""Where a command writes its results: on this machine, checked before the work starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from raybatch.stores.local_path import local_path


class _OutPath(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        try:
            value = local_path(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return Path(os.fsdecode(super().convert(value, param, ctx)))


class OutFile(_OutPath):
    """A file that the command writes at the end; from the start, its folder must be writable.

    The regular expression `suffixes` describes the suffixes allowed; `refusal` is the error's text.
    """

    def __init__(self, suffixes: str = ".*", refusal: str = "") -> None:
        super().__init__(dir_okay=False, writable=True)
        self._suffixes, self._refusal = suffixes, refusal

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if not path.parent.is_dir():
            self.fail(f"{str(path)!r}: there is no directory {str(path.parent)!r}", param, ctx)
        is_device = path.exists() and not path.is_file()
        if not is_device and not os.access(path.parent, os.W_OK):
            self.fail(f"{str(path)!r}: cannot write to {str(path.parent)!r}", param, ctx)
        if not re.fullmatch(self._suffixes, path.suffix):
            self.fail(f"{str(path)!r} {self._refusal}", param, ctx)
        return path


out_folder = _OutPath(file_okay=False)
picture = OutFile(r"(?i)\.(png|jpe?g|webp)", "must end in .png, .jpg or .webp")

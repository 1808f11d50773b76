"""The settings of the program that its actors need.

They are the warning filters, Pillow's settings and the reloaded modules. If raybatch started Ray
for the program, they include `sys.path` and the environment variables.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from raybatch.warned import filtered_as_by, filters_here

# The settings that change how Pillow reads images, by module.
_PILLOW = (
    ("PIL.Image", ("MAX_IMAGE_PIXELS",)),
    ("PIL.ImageFile", ("LOAD_TRUNCATED_IMAGES",)),
    ("PIL.PngImagePlugin", ("MAX_TEXT_CHUNK", "MAX_TEXT_MEMORY")),
    ("PIL.GifImagePlugin", ("LOADING_STRATEGY",)),
    ("PIL.TiffImagePlugin", ("READ_LIBTIFF",)),
    ("PIL.AvifImagePlugin", ("DECODE_CODEC_CHOICE",)),
)


class Program(NamedTuple):
    """The settings of a program at one time.

    `reloads` has the modules that were reloaded since they were first seen, and how often.
    `environ` has the variables that have changed since Ray was started, with None for those that
    are gone. `sys_path` and `environ` are empty if raybatch did not start Ray.
    """

    filters: tuple[bytes, ...] = ()
    pillow: tuple[tuple[str, str, Any], ...] = ()
    reloads: tuple[tuple[str, int], ...] = ()
    sys_path: tuple[str, ...] = ()
    environ: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def here(cls, environ_at_start: Mapping[str, str] | None) -> Program:
        """Return the settings of this process.

        `environ_at_start` is its environment when it started Ray; None if it did not start Ray.
        """
        pillow = tuple(
            (module, name, getattr(importlib.import_module(module), name))
            for module, names in _PILLOW
            for name in names
            # Some releases of Pillow lack some of them.
            if hasattr(importlib.import_module(module), name)
        )
        found = cls(filters_here(), pillow, _reloads.seen())
        if environ_at_start is None:
            return found
        names = sorted(environ_at_start.keys() | os.environ.keys())
        changed = tuple(
            (name, os.environ.get(name))
            for name in names
            if os.environ.get(name) != environ_at_start.get(name)
        )
        return found._replace(sys_path=tuple(map(os.path.abspath, sys.path)), environ=changed)

    def take_over(self) -> None:
        """Apply the settings that unpickling a source needs: paths, variables, reloaded modules."""
        for name, value in self.environ:
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self.sys_path:
            sys.path[:] = [
                *self.sys_path,
                *(path for path in sys.path if path not in self.sys_path),
            ]
        _reloads.catch_up(self.reloads)

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """Apply the settings for reading images while the `with` block runs.

        They hold for the whole process, so it must not read for another program at the same time.
        """
        for module, name, value in self.pillow:
            setattr(importlib.import_module(module), name, value)
        with filtered_as_by(self.filters):
            yield


class _Reloads:
    """Counts how often each module was reloaded. A reload gives a module a new spec.

    A function is sent as a reference to its module. An actor that has imported the module before
    would go on with the old code.
    """

    def __init__(self) -> None:
        self._specs: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def seen(self) -> tuple[tuple[str, int], ...]:
        """Look at all modules; return those that were reloaded, in the order of their import."""
        for name, module in list(sys.modules.items()):
            spec = getattr(module, "__spec__", None)
            if self._specs.setdefault(name, spec) is not spec:
                self._specs[name] = spec
                self._counts[name] = self._counts.get(name, 0) + 1
        return tuple((name, self._counts[name]) for name in self._specs if name in self._counts)

    def catch_up(self, reloads: tuple[tuple[str, int], ...]) -> None:
        """Reload the modules here that were reloaded more often in the program than here."""
        for name, count in reloads:
            if self._counts.get(name, 0) < count:
                self._counts[name] = count
                if name in sys.modules:
                    importlib.invalidate_caches()
                    importlib.reload(sys.modules[name])


_reloads = _Reloads()

"""Whether the first folders on the paths of images are classes, or lie above the classes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from raybatch.notices import tell
from raybatch.stores.location import Location

_PART = re.compile(
    r"(train(ing)?|val(id(ation)?)?|test(ing)?|dev|eval(uation)?)[-_]?(set|data|images|\d+)?",
    re.IGNORECASE,
)
_SHOWN = 5


class FolderLevels:
    """The folders on the paths of images below `root`, which `add` takes in runs of names."""

    def __init__(self, root: Location) -> None:
        self._root = root
        self._inner: dict[str, set[str]] = {}  # the folders in each first folder
        self._is_deep = True

    def add(self, names: Iterable[str]) -> None:
        """Add images by their names, relative to the root."""
        for name in names:
            first, _, rest = name.partition("/")
            second, mark, _ = rest.partition("/")
            if not mark:
                self._is_deep = False
            inner = self._inner.setdefault(first, set())
            if mark:
                inner.add(second)

    def check(self) -> None:
        """Raise ValueError if the first folders are parts of a data set, such as train and val.

        Tell the user if no image lies directly in a first folder: the classes may be below.
        """
        parts = [name for name in self._inner if _PART.fullmatch(name)]
        first, inner = _shown(self._inner), _shown(set().union(*self._inner.values()))
        here = self._root.join([parts[0] if parts else next(iter(self._inner))])[0]
        below = repr(str(Location(here)))
        if len(parts) == len(self._inner) or (self._is_deep and len(parts) > 1):
            cure = f"pass {below}" if inner else f"there are no class folders in {below} either"
            raise ValueError(
                f"the folders in {self._root!r}, {first}, are named as parts of a data set, not as"
                f" classes: {cure}. If they are the classes, give classes={sorted(self._inner)}"
            )
        if self._is_deep:
            tell(
                f"the folders in {self._root!r} are the classes: {first}. All their images lie"
                f" deeper, in folders such as {inner}; if those are the classes, pass {below}"
            )


def _shown(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(map(repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")

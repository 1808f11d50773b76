"""A random generator for each part of a transform, made from the generator of the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISpawnableSeedSequence

_WORDS = 2  # 64-bit words for a Philox generator


def own_generator(rng: np.random.Generator) -> np.random.Generator:
    """Return a new generator, made from a fixed number of draws of `rng`.

    So the next part of a transform gets the same numbers, however many this part draws.
    """
    words = _Words(rng.bit_generator.random_raw(_WORDS))
    return np.random.Generator(np.random.Philox(words))  # type: ignore[arg-type]


class _Words(ISpawnableSeedSequence):
    """The seed of a generator: random `words`.

    Making a `SeedSequence` takes longer than drawing all the numbers.
    """

    def __init__(self, words: npt.NDArray[np.uint64]) -> None:
        self._words = words
        self._sequence: np.random.SeedSequence | None = None

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> npt.NDArray[Any]:
        """Return the words; a Philox asks for exactly these."""
        return self._words

    def spawn(self, n_children: int) -> list[Any]:
        """Return seeds for generators that are spawned from this one."""
        if self._sequence is None:
            self._sequence = np.random.SeedSequence(self._words.tolist())
        return list(self._sequence.spawn(n_children))


def check_first_use(change: Any, rng: np.random.Generator) -> None:
    """Raise TypeError if `change` has drawn from `rng` before, and `rng` belongs to one sample.

    Otherwise an image and a mask that are changed in two calls would silently no longer match. The
    generator of a sample lists the changes that drew from it in `users`.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a NumPy generator, such as np.random.default_rng(0), not {rng!r}"
        )
    users = getattr(rng, "users", None)
    if users is None:
        return
    if change in users:
        raise TypeError(
            f"{change!r} is called twice with the generator of one sample, and would draw different"
            " numbers. Change an image, its mask and its boxes in one call: change(image,"
            " mask=mask, boxes=boxes, rng=rng). For several views of an image, give each view its"
            " own generator, from rng.spawn(2)."
        )
    users.append(change)

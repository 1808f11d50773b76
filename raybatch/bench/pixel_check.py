"""Whether contenders give the same pixels, each image once, in the same batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybatch.bench.contenders import Contender
from raybatch.bench.work import Work


@dataclass(frozen=True)
class Seen:
    """What came in one epoch: the indices of each batch, and a digest of the image at each index."""

    batches: list[list[int]]
    digests: dict[int, str]

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Seen:
        """Return what `dataclasses.asdict` made a JSON object of."""
        digests = {int(index): digest for index, digest in fields["digests"].items()}
        return cls(fields["batches"], digests)


def look_at(batches: Iterable[tuple[Any, Any]], work: Work) -> Seen:
    """Return what `batches` are; ValueError for one that is no uint8 `(n, height, width, 3)`."""
    order: list[list[int]] = []
    digests: dict[int, str] = {}
    for images, indices in batches:
        order.append([int(index) for index in indices])
        pixels = np.asarray(images)
        wanted = (len(order[-1]), *work.size, 3)
        if pixels.shape != wanted or pixels.dtype != np.uint8:
            raise ValueError(
                f"a batch is {pixels.dtype} {pixels.shape}; it should be uint8 {wanted}"
            )
        for index, image in zip(order[-1], pixels, strict=True):
            digests[index] = hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest()
    return Seen(order, digests)


def difference(contender: Contender, seen: Seen, reference: Seen, work: Work) -> str | None:
    """Return in what way `seen` is not what `contender` should give, or None if it is right.

    `reference` is what the plain loop gives.
    """
    came = [index for batch in seen.batches for index in batch]
    if sorted(came) != list(range(len(work.paths))):
        return f"{len(set(came))} of {len(work.paths)} images came, {len(came)} in all"
    if contender.keeps_order and seen.batches != reference.batches:
        return "the batches are not those of the plain loop"
    others = [index for index in sorted(came) if seen.digests[index] != reference.digests[index]]
    if contender.is_exact and others:
        return (
            f"{len(others)} of {len(came)} images have other pixels than the plain loop, "
            f"such as {work.paths[others[0]]}"
        )
    return None

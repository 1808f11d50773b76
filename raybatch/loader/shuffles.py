"""The shuffle of each pass over the source."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

import numpy as np

from raybatch.errors import StateError
from raybatch.order.seeds import seed_of
from raybatch.order.shuffle import SeededShuffle, Shuffle, as_shuffle_rng, is_drawn_here
from raybatch.sources.source import DataSource


class SharedShuffle:
    """A generator that all copies of a loader get, so that ranks agree without a seed."""

    def __init__(self, rng: Any) -> None:
        self.rng = rng


class PassShuffles:
    """The shuffles of all passes over the source.

    With an int seed each pass is a function of the seed and the number of the pass. A generator is
    copied here, so that draws elsewhere cannot change the order. Passes are drawn one after the
    other, and the state of the generator at the start of each is kept.
    """

    def __init__(self, shuffle: Shuffle, source: DataSource, global_batch_size: int) -> None:
        self._shuffle = _owned(shuffle)
        self._source = source
        self._batch_size = global_batch_size
        self._starts: dict[int, Any] = {}
        self._seeds: dict[int, int] = {}
        if self._shuffle is not None and not isinstance(self._shuffle, int):
            self._starts[0] = self._shuffle

    def __repr__(self) -> str:
        if self._shuffle is None:
            return "in order"
        is_seed = isinstance(self._shuffle, int)
        return f"shuffle={self._shuffle if is_seed else type(self._shuffle).__name__}"

    @property
    def first(self) -> int:
        """The first pass that can be drawn."""
        return min(self._starts, default=0)

    def at(self, pass_number: int) -> Any:
        """Return the shuffle for a copy of the loader at `pass_number`.

        None, the seed, or the generator at the start of the pass.
        """
        return SharedShuffle(self.start(pass_number)) if self._starts else self._shuffle

    def count_from(self, pass_number: int) -> None:
        """Take the given generator as the one at the start of `pass_number`, not of pass 0."""
        if self._starts:
            self._starts, self._seeds = {pass_number: self._shuffle}, {}

    def rng(self, pass_number: int) -> Any:
        """Return a new generator that draws `pass_number`; None if nothing is shuffled."""
        if isinstance(self._shuffle, int):
            return SeededShuffle(self._shuffle, pass_number)
        return copy.deepcopy(self.start(pass_number))

    def start(self, pass_number: int) -> Any:
        """Return the generator at the start of `pass_number`; None without one."""
        if not self._starts:
            return None
        if pass_number < self.first:
            raise ValueError(
                f"epoch {pass_number} cannot be drawn: the state of the generator is known from"
                f" epoch {self.first} on. With an int seed any epoch can be drawn"
            )
        known = max(number for number in self._starts if number <= pass_number)
        while known < pass_number:
            rng = copy.deepcopy(self._starts[known])
            cursor = self._source.order(rng)
            while cursor.step(self._batch_size) is not None:
                pass
            known += 1
            self._starts[known] = rng
        return self._starts[pass_number]

    def keys(self, pass_number: int) -> tuple[int, int]:
        """Return the seed and the epoch that pass `pass_number` derives its random numbers from."""
        if self._starts:
            # Each pass has its own seed, so the epoch is always 0, as in `source.batch_iterator`.
            if pass_number not in self._seeds:
                self._seeds = {pass_number: seed_of(self.start(pass_number))}
            return self._seeds[pass_number], 0
        return seed_of(self._shuffle), pass_number

    def to_state(self, pass_number: int) -> Any:
        """Return the shuffle of `pass_number` for JSON: None, a seed, or a generator's state."""
        return encode_rng(self.start(pass_number)) if self._starts else self._shuffle

    def load_state(self, state: Any, pass_number: int, *, adopt_seed: bool) -> None:
        """Take a state that `to_state` returned for `pass_number`.

        StateError if its type differs.
        """
        if isinstance(state, dict) and self._starts:
            self._shuffle = decode_rng(state)
            self._starts, self._seeds = {pass_number: self._shuffle}, {}
        elif isinstance(state, int) and isinstance(self._shuffle, int) and adopt_seed:
            self._shuffle = state
        elif state != self.to_state(pass_number):
            raise StateError("shuffle", _brief(state), _brief(self.to_state(pass_number)))


def check_same_on_all_ranks(shuffle: Any) -> None:
    """Raise ValueError for a shuffle that would differ between ranks."""
    if is_drawn_here(shuffle):
        what = "True" if shuffle is True else "a generator without a seed"
        raise ValueError(
            f"shuffle is {what}, so each rank would draw a different order, and the ranks together"
            " would draw some samples twice and others never: give all ranks the same int seed, or"
            " make their loaders with Loader(...).split(world_size), which share one"
        )


def _owned(shuffle: Any) -> Any:
    """Return None, an int seed, or a generator that no other code draws from."""
    if isinstance(shuffle, SharedShuffle):
        return shuffle.rng
    if shuffle is True:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    rng = as_shuffle_rng(shuffle)
    if rng is None:
        return None
    if isinstance(rng, SeededShuffle):
        return rng.seed
    if isinstance(rng, ModuleType):
        return copy.deepcopy(np.random.mtrand._rand)
    return copy.deepcopy(rng)


def encode_rng(rng: Any) -> dict[str, Any]:
    """Return the state of a RandomState or Generator in a form that JSON can hold."""
    if isinstance(rng, np.random.RandomState):
        return {"kind": "RandomState", "state": _encode(rng.get_state(legacy=False))}
    if isinstance(rng, np.random.Generator):
        return {"kind": "Generator", "state": _encode(rng.bit_generator.state)}
    raise TypeError(
        f"the state of a shuffle of type {type(rng)} cannot be saved: use a NumPy generator"
    )


def decode_rng(state: dict[str, Any]) -> Any:
    """Return the generator with the `state` that `encode_rng` returned."""
    values = _decode(state["state"])
    bits = getattr(np.random, values["bit_generator"])()
    if state["kind"] == "RandomState":
        rng = np.random.RandomState(bits)
        rng.set_state(values)
        return rng
    bits.state = values
    return np.random.Generator(bits)


def _encode(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _encode(member) for name, member in value.items()}
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "values": value.tolist()}
    return value.item() if isinstance(value, np.generic) else value


def _decode(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value.keys() == {"dtype", "values"}:
        return np.array(value["values"], dtype=value["dtype"])
    return {name: _decode(member) for name, member in value.items()}


def _brief(state: Any) -> Any:
    return state["kind"] if isinstance(state, dict) else state

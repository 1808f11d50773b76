"""Seeds the random generators of other libraries and of user code for each sample."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import random
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

from raybatch.notices import tell
from raybatch.object_graph import names_in, reached

KINDS = (random.Random, np.random.RandomState, np.random.Generator)

# A key gives a sequence of words. The first ones seed raybatch's own generator, and the next ones
# the global generators of the process.
_OWN_WORDS, _GLOBAL_WORDS = 2, 3

# An odd 128-bit number without a pattern.
_INCREMENT = 0x9E3779B97F4A7C15F39CC0605CEDC835

_WAIT_S = 60
_WAITS_LONG = (
    "a thread has waited for a minute to run a function of the program. Such functions run one call"
    " at a time in a process, since they may draw from `random`, `np.random` or torch. If this one"
    " draws from none of them, or waits for threads of its own, give seed_globals=False to `map`,"
    " `map_samples` or `ItemAccessor`. Actors of a RayActorPool do not wait for each other"
)


_MADE_LATE = (
    "a function of the program made a random generator, a {}, during its first call. raybatch seeds"
    " it from the next batch on, but could not seed it for this one, so the first batch of each"
    " process differs from the batch of a loader without a pool. Make the generator earlier, for"
    " example in `__init__`"
)


class ForeignRandomness:
    """All generators that `code`, a function or an object of the program, may draw from.

    These are the global generators of `random`, of `np.random` and, if torch is imported, of torch
    on the CPU; and all generators of these libraries in the attributes and variables of `code`.
    With `seed_globals=False` there are none.

    A process has one of each global generator, so only one thread at a time can be in a block of
    `seeding` or `seeded`.
    """

    def __init__(self, code: Any, seed_globals: bool = True) -> None:
        self._code = code
        self.seed_globals = bool(seed_globals)
        self._held: list[Any] | None = None
        self._draws = self._has_run = False

    @contextmanager
    def seeding(self) -> Iterator[Seeding]:
        """Give a function that seeds the generators; the block restores them at its end."""
        if not self.seed_globals:
            yield Seeding([], [])
            return
        held = self.held()  # before `_globals`, since it may import torch
        with Seeding(_globals(), held) as seed:
            yield seed
        if not self._has_run:
            self._has_run = True
            self._look_again(held)

    @contextmanager
    def seeded(self, rng: np.random.Generator) -> Iterator[None]:
        """Seed the generators with the key of `rng` for the block, and restore them at its end."""
        with self.seeding() as seed:
            seed(rng)
            yield

    def made_without(self, rng: np.random.Generator, make: Callable[[], Any]) -> Any:
        """Return `make()`, called with the generators seeded by the key of `rng`; None if it draws.

        Once `make` has drawn, it is never called again.
        """
        if self._draws:
            return None
        with self.seeding() as seed:
            seed(rng)
            before = seed.snapshot()
            made = make()
            self._draws = seed.snapshot() != before
        return None if self._draws else made

    @contextmanager
    def seeded_once(self, rng: np.random.Generator | None) -> Iterator[Callable[[], None]]:
        """Give a function whose first call seeds the generators; the block's end restores them.

        Without an `rng`, the function does nothing.
        """
        with ExitStack() as stack:
            begun: list[None] = []

            def begin() -> None:
                if rng is not None and not begun:
                    begun.append(stack.enter_context(self.seeded(rng)))

            yield begin

    def held(self) -> list[Any]:
        """Return the generators in `code`, without the global ones; the same list each time."""
        if not self.seed_globals:
            return []
        if self._held is None:
            parts = [part for _, part in reached("", self._code)]
            _import_torch_for(parts)
            kinds, known = _kinds(), set(map(id, _globals()))
            self._held = [
                part
                for part in parts
                if isinstance(part, kinds) and not isinstance(part, random.SystemRandom)
                if id(part) not in known
            ]
        return self._held

    def _look_again(self, before: list[Any]) -> None:
        """Report generators that the code made in its first call: nobody could seed them before."""
        self._held = None
        known = set(map(id, before))
        made = [generator for generator in self.held() if id(generator) not in known]
        if made:
            tell(_MADE_LATE.format(type(made[0]).__name__))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": None, "_draws": False, "_has_run": False}


class _Handle(NamedTuple):
    """A generator of any library, as three functions; `seed` takes a 64-bit int."""

    get: Callable[[], Any]
    set: Callable[[Any], object]
    seed: Callable[[int], object]


def _handle(generator: Any) -> _Handle:
    if isinstance(generator, random.Random):
        return _Handle(generator.getstate, generator.setstate, generator.seed)
    if isinstance(generator, np.random.RandomState):
        return _handle_of_random_state(generator)
    if isinstance(generator, np.random.Generator):
        bits: Any = generator.bit_generator

        def set_state(state: Any) -> None:
            bits.state = state

        def seed(word: int) -> None:
            set_state(_pcg64(word) if type(bits) is np.random.PCG64 else type(bits)(word).state)

        return _Handle(lambda: bits.state, set_state, seed)
    return _Handle(generator.get_state, generator.set_state, generator.manual_seed)


def _pcg64(word: int) -> dict[str, Any]:
    """Return a state for `default_rng`'s bit generator; any odd increment is valid.

    Making a new bit generator takes ten times as long.
    """
    numbers = {"state": word << 64 | word, "inc": _INCREMENT}
    return {"bit_generator": "PCG64", "state": numbers, "has_uint32": 0, "uinteger": 0}


def _handle_of_random_state(generator: np.random.RandomState) -> _Handle:
    kind = type(generator._bit_generator)

    def seed(word: int) -> None:
        if kind is np.random.MT19937:
            generator.seed(word >> 32)
        else:
            generator.set_state(np.random.RandomState(kind(word)).get_state(legacy=False))

    return _Handle(lambda: generator.get_state(legacy=False), generator.set_state, seed)


def _globals() -> list[Any]:
    """Return the global generators of the process; torch's is the last."""
    own = [random._inst, np.random.mtrand._rand]
    of_torch = getattr(sys.modules.get("torch"), "default_generator", None)
    return own if of_torch is None else [*own, of_torch]


def _kinds() -> tuple[type, ...]:
    of_torch = getattr(sys.modules.get("torch"), "Generator", None)
    return KINDS if of_torch is None else (*KINDS, of_torch)


def _import_torch_for(parts: list[Any]) -> None:
    """Import torch if a function among `parts` uses it, so that the first sample is seeded too."""
    if "torch" in sys.modules:
        return
    functions = (part for part in parts if isinstance(part, types.FunctionType))
    names = {name.partition(".")[0] for fn in functions for name in names_in(fn.__code__)}
    if names & {"torch", "torchvision"}:
        try:
            importlib.import_module("torch")
        except ImportError:
            return  # the function may never get to its import


def _words(rng: np.random.Generator, count: int) -> list[int]:
    """Return `count` 64-bit ints that depend on the key of `rng` alone, without drawing from it."""
    key = rng.bit_generator.seed_seq
    words: Any
    if isinstance(key, np.random.SeedSequence):
        words = key.generate_state(_OWN_WORDS + count, np.uint64)[_OWN_WORDS:]
    else:
        words = copy.deepcopy(rng.bit_generator).random_raw(count)
    return list(words.tolist())


class _OfThread(threading.local):
    """The blocks that this thread is inside, outermost first."""

    def __init__(self) -> None:
        self.blocks: list[Seeding] = []


_here = _OfThread()
_turn = threading.Lock()


class Seeding:
    """A block in which only this thread may draw from the generators, and which restores them."""

    def __init__(self, of_process: list[Any], held: list[Any]) -> None:
        self._generators = [_handle(generator) for generator in (*of_process, *held)]
        # Each generator gets a word of its own, since two with one seed would give the same
        # numbers. The words of the global generators depend neither on `held` nor on whether torch
        # is imported, so two accessors draw the same numbers for a sample.
        last = _GLOBAL_WORDS + len(held)
        self._words = [*range(len(of_process)), *range(_GLOBAL_WORDS, last)]
        self._count = last
        self._states: list[Any] = []

    def __call__(self, rng: np.random.Generator) -> None:
        """Seed the generators with the key of `rng`, one of raybatch's, without drawing from it."""
        if not self._generators:
            return
        words = _words(rng, self._count)
        for generator, number in zip(self._generators, self._words, strict=True):
            generator.seed(words[number])

    def swap(self) -> None:
        """Swap the generators' states with the stored ones: initially those before the block."""
        states = [generator.get() for generator in self._generators]
        for generator, state in zip(self._generators, self._states, strict=True):
            generator.set(state)
        self._states = states

    def snapshot(self) -> bytes:
        """Return bytes that change whenever something is drawn."""
        return pickle.dumps([_plain(generator.get()) for generator in self._generators])

    def __enter__(self) -> Seeding:
        if not _here.blocks:
            _take_turn()
        try:
            self._states = [generator.get() for generator in self._generators]
            _here.blocks.append(self)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            for generator, state in zip(self._generators, self._states, strict=True):
                generator.set(state)
        finally:
            _here.blocks.pop()
            self._leave()

    def _leave(self) -> None:
        if not _here.blocks:
            _turn.release()


def _plain(state: Any) -> Any:
    # Pickling a tensor would include its whole storage.
    return state.numpy().tobytes() if hasattr(state, "numpy") else state


def _take_turn() -> None:
    if not _turn.acquire(timeout=_WAIT_S):
        tell(_WAITS_LONG)
        _turn.acquire()


@contextmanager
def suspended() -> Iterator[None]:
    """Let other threads seed and draw during the block, while this thread waits for them."""
    blocks = _here.blocks
    if not blocks:
        yield
        return
    for block in reversed(blocks):
        block.swap()
    _here.blocks = []
    _turn.release()
    try:
        yield
    finally:
        _take_turn()
        _here.blocks = blocks
        for block in blocks:
            block.swap()


def _after_fork() -> None:
    """Give the forked process a new lock: the thread that holds the old one may not exist here."""
    global _turn
    _turn = threading.Lock()
    if _here.blocks:
        _turn.acquire()


if hasattr(os, "register_at_fork"):  # systems that lack it do not fork
    os.register_at_fork(after_in_child=_after_fork)

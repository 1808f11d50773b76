"""The position of a loop over a DataLoader, and how another loop continues there."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from raybatch.errors import StateError

_VERSION = 1


class Run:
    """One iteration over an epoch that began in `state`.

    `received` is the number of batches received so far. If the run `is_resumed`, `samples` is the
    number of samples received before it was resumed.
    """

    def __init__(self, state: dict[str, Any], is_batched: bool, is_resumed: bool) -> None:
        self.state = state
        self.epoch: int = state["epoch"]
        self.received: int = state["received"]
        self.samples = 0
        self.is_resumed = is_resumed
        self.is_finished = False
        self._is_batched = is_batched

    def count(self, indices: Any) -> int:
        """Return the number of samples at `indices`, which a sampler gave."""
        return len(indices) if self._is_batched else 1


class Course:
    """The course of one DataLoader through its epochs.

    Samplers may draw from torch's global generator and from generators that they hold. So a
    position is the state of these generators when the epoch began, and the number of batches
    received since. To continue there, the sampler draws the indices of these batches again.
    """

    def __init__(self) -> None:
        self._run: Run | None = None
        self._next_epoch = 0
        # The state of an epoch to continue.
        self._loaded: dict[str, Any] | None = None

    @contextmanager
    def beginning(self, loader: Any, iterator: Any) -> Iterator[Run]:
        """In the block, let `iterator` begin its sampler, at the loaded state if there is one."""
        state, self._loaded = self._loaded, None
        if state is None:
            state = self._state_of_begin(loader, iterator._base_seed)
            self._run = run = Run(state, loader._auto_collation, is_resumed=False)
            self._next_epoch += 1
            yield run
            return
        self._run = run = Run(state, loader._auto_collation, is_resumed=True)
        self._next_epoch = run.epoch + 1
        iterator._base_seed = state["seed"]
        now = torch.get_rng_state()
        try:
            torch.set_rng_state(_decoded(state["global"]))
            _load_held(loader, state)
            yield run
            # Ask for one batch more than were received. A sampler may draw from the global
            # generator when it is asked for its first index, and that must happen before the
            # generator is restored.
            drawn = list(itertools.islice(iterator._sampler_iter, run.received + 1))
            iterator._sampler_iter = itertools.chain(drawn[run.received :], iterator._sampler_iter)
            iterator._num_yielded = run.received
            run.samples = sum(map(run.count, drawn[: run.received]))
        finally:
            torch.set_rng_state(now)

    def state(self, loader: Any) -> dict[str, Any]:
        """Return the position of the loop over `loader`."""
        if self._loaded is not None:
            return self._loaded
        if self._run is None or self._run.is_finished:
            return self._state_between(loader)
        return {**self._run.state, "received": self._run.received}

    def load(self, loader: Any, state: dict[str, Any]) -> None:
        """Let the next iteration continue at `state`; StateError if that does not fit `loader`."""
        for field, now in (("version", _VERSION), ("batches", _num_batches(loader))):
            saved = state.get(field, "missing")
            if saved != now:
                raise StateError(field, saved, now)
        self._run, self._loaded = None, state
        if "seed" not in state:
            self._loaded, self._next_epoch = None, state["epoch"]
            _load_held(loader, state)

    def _state_between(self, loader: Any) -> dict[str, Any]:
        """Return the state of `loader` between two epochs."""
        generators = [_encoded(held.get_state()) for held in _generators(loader)]
        return {
            "version": _VERSION,
            "batches": _num_batches(loader),
            "epoch": self._next_epoch,
            "received": 0,
            "generators": generators,
            "samplers": [sampler.state_dict() for sampler in _stateful(loader)],
        }

    def _state_of_begin(self, loader: Any, seed: int) -> dict[str, Any]:
        begin = {"seed": seed, "global": _encoded(torch.get_rng_state())}
        return {**self._state_between(loader), **begin}


def _num_batches(loader: Any) -> int | None:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None  # the sampler has no length


def _load_held(loader: Any, state: dict[str, Any]) -> None:
    """Set the generators and samplers of `loader` to their state in `state`.

    StateError if their number differs.
    """
    generators, samplers = _generators(loader), _stateful(loader)
    for name, found in (("generators", generators), ("samplers", samplers)):
        if len(found) != len(state[name]):
            raise StateError(name, len(state[name]), len(found))
    for generator, encoded in zip(generators, state["generators"], strict=True):
        generator.set_state(_decoded(encoded))
    for sampler, its_state in zip(samplers, state["samplers"], strict=True):
        sampler.load_state_dict(its_state)


def _samplers(loader: Any) -> list[Any]:
    found = [loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)]
    return list({id(sampler): sampler for sampler in found if sampler is not None}.values())


def _generators(loader: Any) -> list[torch.Generator]:
    found = [loader.generator, *(getattr(one, "generator", None) for one in _samplers(loader))]
    return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())


def _stateful(loader: Any) -> list[Any]:
    return [
        sampler
        for sampler in _samplers(loader)
        if hasattr(sampler, "state_dict") and hasattr(sampler, "load_state_dict")
    ]


def _encoded(state: torch.Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _decoded(text: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), np.uint8).copy())

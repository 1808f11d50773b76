"""One actor: how it is started, what it was asked, and what it has."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray

from raybatch.making import Request
from raybatch.pools.ray.constants import RayConstant, packed
from raybatch.pools.ray.hosts import ActorOptions, WorkerFacts
from raybatch.pools.ray.worker import BatchWorker
from raybatch.scheduling import Worker


def starter(options: ActorOptions) -> Callable[[int], Any]:
    """Return what starts an actor each time it is called with the number of one, and returns Ray's handle of it."""
    # A Ray that knows no labels does not know the option either.
    labels = {"label_selector": options.label_selector} if options.label_selector else {}
    actor_class = ray.remote(BatchWorker).options(
        num_cpus=options.num_cpus,
        resources=options.resources,
        scheduling_strategy=options.scheduling_strategy,
        **labels,
        # Ray's own restarts and retries are off: a retry would go to the actor that failed.
        max_restarts=0,
        max_task_retries=0,
    )
    return functools.partial(actor_class.remote, options.threads, options.program, options.setup)


@dataclass(eq=False, kw_only=True)
class RayActor(Worker):
    """One actor; its queue has the references to results.

    `ready` is the one to its `facts`, which say where it runs and are None until it is up. When it `is_gone`, `died_on`
    is what it was busy with. `constants` are the keys of those that it has.
    """

    handle: Any
    ready: Any
    facts: WorkerFacts | None = None
    is_gone: bool = False
    died_on: Any = None
    constants: set[str] = field(default_factory=set)

    @property
    def is_up(self) -> bool:
        return self.facts is not None

    def make(self, source: RayConstant, request: Request) -> Any:
        """Ask for `make(source, request)`, and return the reference to what it answers.

        Calls reach an actor in the order in which they are made, so a constant it lacks is sent before.
        """
        data, constants = packed(request)
        for constant in (source, *constants):
            if constant.key not in self.constants:
                self.handle.load.remote(constant.key, [constant.ref], constant.program)
                self.constants.add(constant.key)
        return self.handle.make.remote(source.key, data)

    def forget(self, key: str) -> None:
        """Have it forget the constant `key`, if it has it."""
        if key in self.constants:
            self.constants.discard(key)
            self.handle.forget.remote(key)

    def hold_until_answered(self, refs: list[Any]) -> None:
        """Hold the references to results that nobody waits for any more, until the actor has caught up or has died.

        Ray 2.60 tells an actor's host to free a result as soon as it hears of one whose reference is gone. The actor tells
        the host to keep its result; if it does so later than that, the host keeps it for as long as this process lives.
        """
        caught_up = self.handle.catch_up.remote().future()
        caught_up.add_done_callback(lambda _: refs.clear())

"""One actor: how to start it, its unanswered requests, and the constants that it holds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray

from raybatch.making.request import Request
from raybatch.pools.ray.constants import RayConstant, packed
from raybatch.pools.ray.hosts import ActorOptions, WorkerFacts
from raybatch.pools.ray.worker import BatchWorker
from raybatch.scheduling.placement import Worker


def starter(options: ActorOptions) -> Callable[[int], Any]:
    """Return a function that starts the actor with a given number and returns Ray's handle."""
    # Releases of Ray without labels refuse this option, so pass it only if it is set.
    labels = {"label_selector": options.label_selector} if options.label_selector else {}
    actor_class = ray.remote(BatchWorker).options(
        num_cpus=options.num_cpus,
        resources=options.resources,
        scheduling_strategy=options.scheduling_strategy,
        **labels,
        # Ray's own retry would go to the actor that failed; the scheduler tries another one.
        max_restarts=0,
        max_task_retries=0,
    )
    return functools.partial(actor_class.remote, options.threads, options.program, options.setup)


@dataclass(eq=False, kw_only=True)
class RayActor(Worker):
    """One actor. Its `queue` holds the references to the results that it has not returned yet.

    `ready` is the reference to its `facts`, which are None until the actor is up. `is_gone` is true
    once it has been replaced. Then `died_on` is the reference to the result that it was making;
    None if unknown. `constants` are the keys of the constants that it holds.
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
        """Call `make(source, request)` on the actor, and return the reference to its result.

        An actor gets calls in the order in which they are made, so the constants that it lacks are
        sent first.
        """
        data, constants = packed(request)
        for constant in (source, *constants):
            if constant.key not in self.constants:
                # In a list, so that Ray does not load it: `keep` does, and keeps the error.
                self.handle.load.remote(constant.key, [constant.ref], constant.program)
                self.constants.add(constant.key)
        return self.handle.make.remote(source.key, data)

    def forget(self, key: str) -> None:
        """Make the actor drop the constant `key`, if it has it."""
        if key in self.constants:
            self.constants.discard(key)
            self.handle.forget.remote(key)

    def hold_until_answered(self, refs: list[Any]) -> None:
        """Hold the references to results that nobody needs, until the actor has answered or died.

        This avoids a leak in Ray 2.60. If the reference is gone when the result is made, the driver
        tells the actor's host to free the result, while the actor tells the host to keep it. If the
        actor's message comes last, the host keeps the result for as long as this process lives.
        """
        caught_up = self.handle.catch_up.remote().future()
        caught_up.add_done_callback(lambda _: refs.clear())

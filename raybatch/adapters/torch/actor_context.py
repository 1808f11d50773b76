"""A multiprocessing context that marks loaders made from a raybatch DataLoader."""

from __future__ import annotations

from multiprocessing.context import BaseContext
from typing import Any

import torch.multiprocessing

from raybatch.adapters.torch.team import Team
from raybatch.notices import tell

_NOT_ON_ACTORS = (
    "a PyTorch DataLoader was made from a raybatch DataLoader, as Accelerate does in `prepare`."
    " PyTorch's processes make its batches, not Ray actors. Use `loader ="
    " raybatch.adapters.torch.on_actors(accelerator.prepare(loader))`"
)


class ActorContext(BaseContext):
    """The `multiprocessing_context` of a DataLoader whose workers are the actors of `team`.

    It acts as PyTorch's default context. If a process is started with it, it reports that PyTorch's
    processes do the work of the actors.
    """

    Queue = staticmethod(torch.multiprocessing.Queue)
    Event = staticmethod(torch.multiprocessing.Event)
    get_start_method = staticmethod(torch.multiprocessing.get_start_method)

    def __init__(self, team: Team) -> None:
        self.team = team

    def Process(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        tell(_NOT_ON_ACTORS)
        return torch.multiprocessing.Process(*args, **kwargs)

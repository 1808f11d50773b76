"""The host that a worker runs on: what it is, and what to do about what is missing there."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass

import ray


@dataclass(frozen=True)
class WorkerFacts:
    """Where a worker runs: its host's address and Ray's id of that, and the raybatch it has."""

    host: str
    node_id: str
    version: str

    @classmethod
    def checked(cls, facts: object) -> WorkerFacts:
        """Return `facts`, which a worker gave; OtherVersionError if it has another raybatch than this process."""
        if not isinstance(facts, WorkerFacts):
            raise OtherVersionError("?", "of a time before they told their version")
        if facts.version != own_version():
            raise OtherVersionError(facts.host, facts.version)
        return facts

    @classmethod
    def here(cls) -> WorkerFacts:
        """Return those of this process."""
        return cls(address(), ray.get_runtime_context().get_node_id(), own_version())


class OtherVersionError(RuntimeError):
    """A host has another raybatch than this process, which may make other batches."""

    def __init__(self, host: str, version: str) -> None:
        here = own_version()
        super().__init__(
            f"host {host} has raybatch {version}, and this one {here}: install raybatch {here} there"
        )


def own_version() -> str:
    """Return the version of this process's raybatch."""
    # The package's face stands above all layers; only what it is called is asked for here.
    return str(importlib.import_module("raybatch").__version__)


def address() -> str:
    """Return the address of this host in its cluster."""
    return str(ray.util.get_node_ip_address())


def advice(error: BaseException) -> str:
    """Return what to do if `error` is raised where something is missing on a host."""
    if isinstance(error, (ImportError, AttributeError)):
        return (
            "Install that code on every host, or send it along: `ray job submit --working-dir . -- python PROGRAM`, or "
            'ray.init(address, runtime_env={"working_dir": "."}) before the pool is made'
        )
    if isinstance(error, OSError):
        return "Mount or copy it on every host under the same path, or keep the actors off those without it"
    return "Is all that it needs installed on that host?"


def why_not_started(error: BaseException) -> str:
    """Return why an actor could not be used, in one line, and what to do about it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # What the actor's process raised comes as text: its address first, and the exception last.
    host = re.search(r"creation task.*\bip=([^,\s]+)", lines[0])
    if host is None:
        return lines[0]
    raised = lines[-1].strip()
    what_to_do = f". {advice(ImportError())}" if "ModuleNotFoundError" in raised else ""
    return f"on host {host[1]}: {raised}{what_to_do}"

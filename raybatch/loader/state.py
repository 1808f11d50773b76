"""The state of a loader, as JSON can hold it, and what is refused of a saved one."""

from __future__ import annotations

from typing import Any

from raybatch.errors import StateError
from raybatch.loader.plan import Plan
from raybatch.order import Position

# The second is that of loaders with `batches_per_epoch`.
_VERSIONS = (1, 2)


def state_of(plan: Plan, position: Position, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Return what is needed to go on at `position` of `plan`, whose source has `fingerprint`."""
    state = {
        "version": _VERSIONS[0],
        **position.to_state(is_plain=plan.batches_per_epoch is None),
        "shuffle": plan.shuffles.to_state(position.pass_number),
        **fingerprint,
    }
    if plan.batches_per_epoch is not None:
        state |= {"version": _VERSIONS[1], "batches_per_epoch": plan.batches_per_epoch}
    return state


def position_in(state: dict[str, Any], plan: Plan, fingerprint: dict[str, Any]) -> Position:
    """Return the position that `state` holds; StateError, with the field, if `plan` cannot go on there."""
    if state.get("version") not in _VERSIONS:
        raise StateError("version", state.get("version"), _VERSIONS)
    for field, value in fingerprint.items():
        if state.get(field) != value:
            raise StateError(field, state.get(field), value)
    for field in ("epoch", "received", "shuffle"):
        if field not in state:
            raise StateError(field, "missing", "needed")
    if state.get("batches_per_epoch") is not None and plan.batches_per_epoch is None:
        raise StateError("batches_per_epoch", state["batches_per_epoch"], None)
    return Position.of_state(state)

"""A loader's state in a form that JSON can hold, and the checks of a saved one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raybatch.errors import StateError
from raybatch.loader.plan import Plan
from raybatch.order.position import Ahead, Position
from raybatch.sources.mapped import unmapped
from raybatch.sources.mix import MixDataSource

# Version 2 is for loaders with `batches_per_epoch`.
_VERSIONS = (1, 2)


def state_of(plan: Plan, position: Position, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Return the state to continue at `position` of `plan`, whose source has `fingerprint`."""
    state = {
        "version": _VERSIONS[0],
        **position.to_state(is_plain=plan.batches_per_epoch is None),
        "shuffle": plan.shuffles.to_state(position.pass_number),
        **fingerprint,
    }
    mixture = unmapped(plan.source)
    if isinstance(mixture, MixDataSource):
        # Former members are included, because they may come back.
        positions = dict(position.ahead) | _positions(mixture, position)
        known = fingerprint["members"]
        state["members"] = {
            name: {"position": own, **known.get(name, {})} for name, own in positions.items()
        }
    if plan.batches_per_epoch is not None:
        state |= {"version": _VERSIONS[1], "batches_per_epoch": plan.batches_per_epoch}
    return state


def position_in(state: dict[str, Any], plan: Plan, fingerprint: dict[str, Any]) -> Position:
    """Return the position in `state`.

    StateError, with the field, if `plan` cannot continue there.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"the state must be a dict from state_dict(), not {state!r:.200}")
    version = state.get("version", "missing")
    if version not in _VERSIONS:
        raise StateError("version", version, _VERSIONS)
    for field, value in fingerprint.items():
        saved = state.get(field, "missing")
        if field != "members" and saved != value:
            raise StateError(field, saved, value)
    for field in ("epoch", "received", "shuffle"):
        if field not in state:
            raise StateError(field, "missing", "needed")
    if state.get("batches_per_epoch") is not None and plan.batches_per_epoch is None:
        raise StateError("batches_per_epoch", state["batches_per_epoch"], None)
    position = Position.of_state(state)
    mixture = unmapped(plan.source)
    if not isinstance(mixture, MixDataSource):
        return position
    return replace(position, ahead=_ahead(mixture, position, state, fingerprint["members"]))


def _positions(mixture: MixDataSource, position: Position) -> dict[str, int]:
    return mixture.moved(dict(position.ahead)).positions(position.samples)


def _ahead(
    mixture: MixDataSource, position: Position, state: dict[str, Any], known: dict[str, Any]
) -> Ahead:
    """Return how far each member's saved position is ahead of its position by today's weights."""
    saved: dict[str, Any] = state["members"]
    for name in known.keys() & saved.keys():
        for field, value in known[name].items():
            # If a member had left the mixture before the state was saved, only its position is
            # known.
            if saved[name].get(field, value) != value:
                raise StateError(f"members.{name}.{field}", saved[name][field], value)
    here = _positions(mixture, position)
    ahead = {
        name: saved.get(name, {"position": 0})["position"] - here.get(name, 0)
        for name in here.keys() | saved.keys()
    }
    return tuple(sorted((name, by) for name, by in ahead.items() if by))

"""Calls of a program's own functions, and checks of what they and its array-likes return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from raybatch.checks import takes
from raybatch.errors import ReturnError, add_note
from raybatch.sources.batch import Batch, row_counts
from raybatch.structure import described, function_name, is_container, members

_MEMBERS = (
    "a tuple, NamedTuple, dict or dataclass of arrays or lists with one row for each sample of the"
    ' batch, such as (x, y) or {"image": x, "label": y}'
)


def called(fn: Callable[..., Any], structure: Any, **options: Any) -> Any:
    """Return `fn(*structure, **options)` for a tuple, else `fn(structure, **options)`.

    TypeError, with the parameters of `fn`, if it does not take these arguments. A note on any other
    error names `fn`.
    """
    arguments = structure if isinstance(structure, tuple) else (structure,)
    try:
        return fn(*arguments, **options)
    except Exception as error:
        if not isinstance(error, TypeError) or takes(fn, *arguments, **options):
            add_note(error, f"in {function_name(fn)}, called with {described(structure)}")
            raise
        given = ", ".join([*map(described, arguments), *(f"{name}=..." for name in options)])
        raise TypeError(
            f"{function_name(fn)} takes {_parameters(fn)}, but is called with ({given})"
        ) from None


def returned_batch(fn: Any, batch: Any, *, is_even: bool = True) -> Batch:
    """Return `batch`, the result of `fn`, a function or an iterator; ReturnError if it is no batch.

    With `is_even`, all leaves with rows must have the same number of rows. A leaf without rows,
    such as a number, belongs to the whole batch.
    """
    if not _has_members(batch):
        raise ReturnError(
            f"{function_name(fn)} returned {described(batch)}, but must return {_MEMBERS}"
        )
    if is_even and len(set(row_counts(batch))) > 1:
        raise ReturnError(
            f"{function_name(fn)} returned members of unequal lengths, {described(batch)},"
            f" but must return {_MEMBERS}"
        )
    return batch


def returned_sample(fn: Callable[..., Any], sample: Any, first: Any) -> Any:
    """Return `sample`, the result of `fn` for one sample.

    ReturnError if it has no members, or if their names differ from those in `first`.
    """
    if _has_members(sample):
        if members(sample).keys() == members(first).keys():
            return sample
        raise ReturnError(
            f"{function_name(fn)} returned {described(sample)}, but must return the same members"
            f" for every sample: for a different sample it returned {described(first)}"
        )
    raise ReturnError(
        f"{function_name(fn)} returned {described(sample)}, but must return a tuple, NamedTuple,"
        " dict or dataclass with the members of one sample, such as (x, y) or"
        ' {"image": x, "label": y}'
    )


def _parameters(fn: Callable[..., Any]) -> str:
    """Return the parameters of `fn` as its definition has them, without annotations."""
    nothing = inspect.Parameter.empty
    signature = inspect.signature(fn)
    bare = [one.replace(annotation=nothing) for one in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=nothing))


def _has_members(value: Any) -> bool:
    return is_container(value) and len(members(value)) > 0


def returned_rows(name: str, array: Any, rows: Any, count: int) -> Any:
    """Return `rows`, the result of the array-like `array` for `count` indices.

    ReturnError unless it has `count` rows.
    """
    counts = set(row_counts(rows))
    if counts != {count}:
        raise ReturnError(
            f"{name}, of {type(array).__module__}.{type(array).__qualname__}, returned"
            f" {described(rows)} for {count} indices, but must return an array or a list with one"
            " row for each of them"
        )
    return rows


def returned_batches(fn: Any, batches: Any) -> Iterator[Batch]:
    """Iterate over `batches`, the result of `fn` or `fn` itself, and check each batch.

    ReturnError if it is not an iterator.
    """
    if not isinstance(batches, Iterable):
        raise ReturnError(
            f"{function_name(fn)} returned {described(batches)}, but must return an iterator over"
            " batches"
        )
    return (returned_batch(fn, batch, is_even=False) for batch in batches)

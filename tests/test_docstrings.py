"""Every public class, function and method has a docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import raybatch as rb
from raybatch.image import augment

# The public names of the package and of its public modules.
NAMES = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (rb, rb.data_source, rb.sampling, rb.work_pool, rb.image, augment)
    for name in module.__all__
}


def public_members(thing: type) -> Iterator[str]:
    for name, member in inspect.getmembers(thing):
        if name.startswith("_") or not (inspect.isroutine(member) or isinstance(member, property)):
            continue
        if (getattr(member, "__module__", None) or "raybatch").startswith("raybatch"):
            yield name


def test_public_names_and_their_methods_are_documented() -> None:
    things = {
        name: thing
        for name, thing in NAMES.items()
        if inspect.isclass(thing) or inspect.isfunction(thing)
    }
    missing = [name for name, thing in things.items() if not inspect.getdoc(thing)]
    missing += [
        f"{name}.{member}"
        for name, thing in things.items()
        if inspect.isclass(thing)
        for member in public_members(thing)
        if not doc_of(thing, member)
    ]
    assert not missing, "\n" + "\n".join(missing)


def doc_of(thing: type, member: str) -> str | None:
    """Return the docstring of a method, or of the method that it overrides."""
    for base in thing.__mro__:
        doc: str | None = getattr(base.__dict__.get(member), "__doc__", None)
        if doc:
            return doc
    return None

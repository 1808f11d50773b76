"""BatchUp's `work_pool`."""

from raybatch.pools import __all__ as __all__


def __getattr__(name: str) -> object:
    import raybatch.pools

    return getattr(raybatch.pools, name)

"""BatchUp's `sampling`; its samplers are those of `raybatch.order`."""

from raybatch.order import *  # noqa: F403
from raybatch.order import __all__ as __all__

"""BatchUp's `sampling`."""

from raybatch.order import *  # noqa: F403
from raybatch.order import __all__ as __all__

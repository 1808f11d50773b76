"""BatchUp's `data_source`."""

from raybatch.sources import *  # noqa: F403
from raybatch.sources import __all__ as __all__

"""The loader: plans the batches, has a pool make them, and delivers them in order."""

from raybatch.loader.fingerprint import fingerprint
from raybatch.loader.loader import Loader
from raybatch.loader.plan import Plan
from raybatch.loader.ranks import RankSplit
from raybatch.loader.stats import LoaderStats

__all__ = ["Loader", "LoaderStats", "Plan", "RankSplit", "fingerprint"]

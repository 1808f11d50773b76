"""What a worker runs: `make(source, request)` → result."""

from raybatch.making.bad_rows import Trouble, bad_sample
from raybatch.making.make import make
from raybatch.making.policy import BadSamples, check_tolerable
from raybatch.making.request import Request, Result

__all__ = ["BadSamples", "Request", "Result", "Trouble", "bad_sample", "check_tolerable", "make"]

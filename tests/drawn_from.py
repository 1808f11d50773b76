"""A module with a generator, and a function that draws from it."""

import numpy as np

RNG = np.random.default_rng()


def draw() -> float:
    return RNG.random()

"""Ray actors as workers: the one folder of the package, adapters apart, that imports ray."""

"""The loader: plans the batches, has a pool make them, and delivers them in order."""

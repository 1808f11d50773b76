"""Trees of sources, which make batches from arrays and accessors."""

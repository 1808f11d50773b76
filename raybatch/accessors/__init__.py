"""Accessors: array-likes that load samples on demand, by an int or an index array."""

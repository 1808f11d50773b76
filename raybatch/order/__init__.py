"""The order of the samples: samplers, shuffles and positions.

NumPy only; nothing here reads data.
"""

"""The pools, which make batches: in line, on threads, or by Ray actors.

Only the folder `ray` imports ray, so whatever needs that folder imports it where it is used.
"""

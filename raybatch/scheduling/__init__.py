"""Decides what to do next: a pure state machine without I/O, clock or randomness.

`states.py` explains how it works and lists its transitions.
"""

"""Comparisons with torchvision are collected where it is installed: a skip of a whole file comes before its marker is looked at."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torchvision") else ["test_torchvision*.py"]

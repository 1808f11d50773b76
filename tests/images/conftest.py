"""Collects the comparisons with torchvision only where torchvision is installed.

Otherwise `pytest.importorskip` would report these files as skipped, even in a run whose markers
deselect them.
"""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torchvision") else ["test_torchvision*.py"]

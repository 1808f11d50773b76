"""Programs to run and to copy from: `python -m raybatch.examples.train --help`."""

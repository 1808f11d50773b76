"""`python -m raybatch`."""

from raybatch.cli import main

main(prog_name="raybatch")

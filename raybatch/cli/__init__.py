"""The command line: `raybatch demo`, `raybatch load`, `raybatch bench`."""

import click

from raybatch.cli.bench import bench
from raybatch.cli.demo import demo
from raybatch.cli.load import load


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="raybatch")
def main() -> None:
    """Batches of images for training, loaded by Ray actors and delivered in order.

    Start with `raybatch demo`: it makes some images, loads them, and shows what came out.
    """


main.add_command(demo)
main.add_command(load)
main.add_command(bench)

__all__ = ["main"]

"""The command line: `raybatch demo` and the other commands that `raybatch --help` lists."""

import signal
from typing import Any

import click

from raybatch.cli.bench_command import bench
from raybatch.cli.demo_command import demo
from raybatch.cli.doctor import doctor
from raybatch.cli.load_command import load
from raybatch.cli.pack_command import pack
from raybatch.cli.plan_command import plan
from raybatch.cli.preview_command import preview
from raybatch.cli.scan_command import scan


class _Commands(click.Group):
    """The commands. Ctrl-C ends a command with status 130, the status that shells use for it."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Aborted!", err=True)
            ctx.exit(128 + signal.SIGINT)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="raybatch")
def main() -> None:
    """Load batches of images for training with Ray actors, in a fixed order.

    Start with `raybatch demo`: it makes some images, loads them and shows the result.
    """


for command in (demo, load, scan, preview, pack, plan, bench, doctor):
    main.add_command(command)

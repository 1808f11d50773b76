"""`raybatch doctor`: find problems of the machine or the cluster, and say how to solve them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, replace

import click
from rich.text import Text

from raybatch.cli import diagnosis, options
from raybatch.cli.diagnosis import PROBLEM, Finding
from raybatch.cli.host_facts import HostFacts, look
from raybatch.cli.output import Output
from raybatch.errors import RaybatchError

_STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.argument("paths", nargs=-1)
@click.option(
    "--address",
    envvar="RAY_ADDRESS",
    help=(
        "The Ray cluster to check, such as auto or HOST:PORT.  [default: RAY_ADDRESS, or only this"
        " machine]"
    ),
)
@options.output
def doctor(paths: tuple[str, ...], address: str | None, output: Output) -> None:
    """Look for problems that prevent loading, here or in a cluster.

    It checks this machine, or with --address every host of that cluster.

    PATHS are files, folders or URLs that every host must be able to read.

    The exit status is 0 if there are at most warnings, 1 if there is a problem, and 2 if the
    cluster could not be checked.
    """
    absolute = [path if "://" in path else os.path.abspath(path) for path in paths]
    findings: list[Finding] = []
    try:
        findings.extend(_findings(absolute, None if address in ("", "local") else address))
    finally:
        output.show([asdict(finding) for finding in findings], _shown(findings))
    if any(finding.status == PROBLEM for finding in findings):
        raise SystemExit(options.SOMETHING_BAD)


def _findings(paths: list[str], address: str | None) -> Iterator[Finding]:
    from raybatch.pools.ray.hosts import on_every_host  # loads ray

    cluster = diagnosis.of_address(address)
    answers = {}
    if address is not None and cluster.status != PROBLEM:
        try:
            answers = on_every_host(address, look, paths)
        except (RaybatchError, OSError):
            yield replace(
                cluster, status=PROBLEM, seen=f"{address} cannot be joined; the error is below"
            )
            raise
    yield cluster
    yield diagnosis.of_address_file()
    yield diagnosis.of_ray_folder()
    here = look(paths)
    hosts: dict[str, HostFacts] = {}
    if address is None or cluster.status == PROBLEM:
        hosts["this machine"] = here
    else:
        for where, (answer, store_bytes) in answers.items():
            if isinstance(answer, str):
                advice = (
                    "look at Ray's logs there, and check that its Python has the packages that the"
                    " program needs"
                )
                yield Finding(f"host {where}", PROBLEM, answer, advice)
            else:
                hosts[where] = replace(answer, store_bytes=store_bytes)
        yield diagnosis.of_tokens(hosts)
    yield from diagnosis.of_versions(here, hosts)
    for where, facts in hosts.items():
        yield from diagnosis.of_host(where, facts)
    yield from diagnosis.of_paths(here, hosts, paths)
    for path in paths:
        if path not in here.unreadable:
            yield from diagnosis.of_folder(path)


def _shown(findings: list[Finding]) -> Iterator[Text]:
    for finding in findings:
        status = (f"{finding.status:8}", _STYLES[finding.status])
        yield Text.assemble(status, f"{finding.check}: {finding.seen}")
        if finding.advice:
            yield Text(f"{'':8}→ {finding.advice}")

"""What `raybatch scan` says of packed files."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from raybatch.accessors.packed_manifest import load_manifest
from raybatch.packing import verify


def scan_packed(directory: str, as_json: bool) -> bool:
    """Compare the packed files in `directory` with their checksums, print what is wrong; return whether anything is."""
    manifest = load_manifest(Path(directory))
    faults = list(verify(directory))
    facts = {
        "packed": manifest.rows,
        "files": len(manifest.files),
        "bytes": sum(file.nbytes for file in manifest.files),
        "columns": {
            column.name: {"dtype": column.dtype, "shape": column.shape}
            for column in manifest.columns
        },
        "classes": manifest.classes,
        "faults": [fault._asdict() for fault in faults],
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return bool(faults)
    console = Console()
    columns = ", ".join(f"{c.name} {c.dtype} {c.shape}" for c in manifest.columns)
    console.print(f"{facts['packed']} packed samples in {facts['files']} files: {columns}")
    for fault in faults:
        console.print(f"{fault.path}: {fault.reason}", soft_wrap=True)
    console.print(
        f"{len(faults)} files are damaged: remove them and pack again, which writes those alone"
        if faults
        else "every checksum is right"
    )
    return bool(faults)
